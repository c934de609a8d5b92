#!/usr/bin/env python3
"""The TensorBoard events of a run, read by hand, are the figures of its metrics.jsonl; a resume makes no step twice.

  EVENKEEL  the binary (build/evenkeel)
"""
import os
import pathlib
import shutil
import struct
import sys
import tempfile

sys.dont_write_bytecode = True
import toy  # noqa: E402
from checks import evaluations_of, run_checks, steps_of  # noqa: E402
from contract_train import CPU  # noqa: E402


def crc32c(content):
    crc = 0xFFFFFFFF
    for byte in content:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def masked(content):
    crc = crc32c(content)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def records(path):
    """The records of a TFRecord file; both checksums of each are compared."""
    content, at, out = path.read_bytes(), 0, []
    while at < len(content):
        header, (length, length_crc) = content[at:at + 8], struct.unpack_from("<QI", content, at)
        data = content[at + 12:at + 12 + length]
        assert length_crc == masked(header) and struct.unpack_from("<I", content, at + 12 + length)[0] == masked(data), f"checksum at byte {at}"
        out.append(data)
        at += 16 + length
    return out


def varint(content, at):
    value = shift = 0
    while True:
        value |= (content[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if content[at - 1] < 0x80:
            return value, at


def fields(content):
    """(number, value) of each field of a protocol-buffer message."""
    at = 0
    while at < len(content):
        key, at = varint(content, at)
        kind = key & 7
        if kind == 0:
            value, at = varint(content, at)
        else:
            size, at = varint(content, at) if kind == 2 else ({1: 8, 5: 4}[kind], at)
            value, at = content[at:at + size], at + size
        yield key >> 3, value


def events(folder):
    """(scalars, sessions): (tag, step) -> value as a reader shows it, and the steps at which sessions start."""
    scalars, sessions = {}, []
    for path in sorted(folder.iterdir()):
        for i, record in enumerate(records(path)):
            event = dict(fields(record))
            step = event.get(2, 0)
            assert (i == 0) == (event.get(3) == b"brain.Event:2"), "the version stands first, once"
            if 7 in event:  # session_log {status: START}: what earlier files have from here on is dropped
                assert dict(fields(event[7])) == {1: 1}
                sessions.append(step)
                scalars = {key: value for key, value in scalars.items() if key[1] < step}
            for _, value in fields(event.get(5, b"")):
                summary = dict(fields(value))
                key = (summary[1].decode(), step)
                assert key not in scalars, f"{key} stands twice"
                scalars[key] = struct.unpack("<f", summary[2])[0]
    return scalars, sessions


def expected(run):
    out = {}
    for line in steps_of(run):
        step = line["step"]
        values = {"train/loss": line["loss"], "train/learning_rate": line["lr"], "train/grad_norm": line["grad_norm"], "train/tokens_per_second": line["tokens_per_second"],
                  "routing/worst_mri": max(layer["mri"] for layer in line["routing"]), **{f"train/{name}": value for name, value in line["loss_terms"].items()}}
        for layer in line["routing"]:
            values[f"routing/layer_{layer['layer']}/mri"], values[f"routing/layer_{layer['layer']}/entropy"] = layer["mri"], layer["entropy"]
        out.update({(tag, step): value for tag, value in values.items()})
    for line in evaluations_of(run):
        out.update({(f"eval/{name}/loss", line["step"]): result["loss"] for name, result in line["eval"].items()})
    return {key: struct.unpack("<f", struct.pack("<f", value))[0] for key, value in out.items()}


def compare(run, problems):
    got, wanted = events(run / "tensorboard")[0], expected(run)
    problems.equal(sorted(set(got) ^ set(wanted)), [], "scalars in one of the two only")
    problems.equal([key for key in wanted if got.get(key) != wanted[key]], [], "scalars that differ")


def check_the_checksum_is_crc32c(_, problems):
    problems.equal(crc32c(b"123456789"), 0xE3069283, "of the standard's example")


def check_the_scalars_are_those_of_the_metrics(folder, problems):
    run = folder / "run"
    problems.ran(toy.evenkeel("train", folder / "recipe.toml", "--out", run, *CPU))
    compare(run, problems)
    problems.equal(events(run / "tensorboard")[1], [], "sessions of a run that was not resumed")


def check_a_resumed_run_has_every_step_once(folder, problems):
    run = folder / "resumed"
    problems.ran(toy.evenkeel("train", folder / "recipe.toml", "--out", run, *CPU))
    for path in toy.checkpoints(run)[2:]:  # as if it had been killed after its checkpoint at step 5
        shutil.rmtree(path)
    (run / "results.json").unlink()
    problems.ran(toy.evenkeel("train", folder / "recipe.toml", "--out", run, *CPU, "--resume"))
    compare(run, problems)
    problems.equal(events(run / "tensorboard")[1], [6], "sessions")


def check_no_events_where_none_are_wanted(folder, problems):
    run = folder / "without"
    problems.ran(toy.evenkeel("train", folder / "recipe.toml", "--out", run, *CPU, "--no-tensorboard"))
    problems.need(not (run / "tensorboard").exists(), "there are events")


def main():
    if not os.path.exists(toy.BINARY):
        sys.exit(f"tensorboard_test: got no {toy.BINARY}; need it built")
    with tempfile.TemporaryDirectory(prefix="evenkeel-tensorboard-") as root:
        folder = pathlib.Path(os.path.realpath(root))
        toy.write_dataset(folder / "en", toy.made_documents(1))
        toy.write_dataset(folder / "de", toy.made_documents(2))
        (folder / "recipe.toml").write_text(toy.recipe_text(folder))
        return run_checks("tensorboard_test", [[(sys.modules[__name__], folder)]], sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
