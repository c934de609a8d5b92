"""Bytes of an indexed dataset (.bin and .idx, version 1) of three small corpora. Writes idx.json."""

import struct

from record import write

PUBLISHED = (
    "4d4d49444944580000" "0100000000000000" "08" "0200000000000000" "0300000000000000"
    "0300000002000000" "00000000000000000600000000000000" "000000000000000001000000000000000200000000000000"
)
TYPES = {"u16": (8, "H", 2), "i32": (4, "i", 4)}


def index_bytes(documents, dtype):
    """One sequence a document."""
    code, _, size = TYPES[dtype]
    offsets = [0]
    for document in documents[:-1]:
        offsets.append(offsets[-1] + len(document) * size)
    n = len(documents)
    return (b"MMIDIDX\0\0" + struct.pack("<QBQQ", 1, code, n, n + 1)
            + struct.pack(f"<{n}i", *[len(document) for document in documents])
            + struct.pack(f"<{n}q", *offsets)
            + struct.pack(f"<{n + 1}q", *range(n + 1)))


def main():
    cases = [
        {"name": "two_documents_u16", "dtype": "u16", "documents": [[5, 6, 7], [8, 9]]},
        {"name": "two_documents_i32", "dtype": "i32", "documents": [[5, 6, 7], [8, 70000]]},
        {"name": "one_token_u16", "dtype": "u16", "documents": [[65499]]},
    ]
    outputs = {}
    for case in cases:
        letter = TYPES[case["dtype"]][1]
        idx = index_bytes(case["documents"], case["dtype"])
        data = b"".join(struct.pack(f"<{len(d)}{letter}", *d) for d in case["documents"])
        outputs[case["name"]] = {"idx_hex": idx.hex(), "bin_hex": data.hex()}
    assert outputs["two_documents_u16"] == {"idx_hex": PUBLISHED, "bin_hex": "05000600070008000900"}
    write("idx.json", "reference", "Megatron-LM core/datasets/indexed_dataset.py, layout of version 1; struct.pack",
          {"cases": cases}, outputs, 0, 0,
          "Bytes are equal or they are not. The first case was published with the format's description.")


if __name__ == "__main__":
    main()
