#!/usr/bin/env python3
"""Every statement of the commands' contract, checked on toy models.

  EVENKEEL  the binary (build/evenkeel)
  arguments: words; only checks whose name has one of them are run
"""
import os
import pathlib
import sys
import tempfile

sys.dont_write_bytecode = True
import contract_analyze  # noqa: E402
import contract_capacity  # noqa: E402
import contract_commands  # noqa: E402
import contract_study  # noqa: E402
import contract_text  # noqa: E402
import contract_train  # noqa: E402
import toy  # noqa: E402
from checks import run_checks  # noqa: E402


def main():
    if not os.path.exists(toy.BINARY):
        sys.exit(f"contract_test: got no {toy.BINARY}; need it built")
    with tempfile.TemporaryDirectory(prefix="evenkeel-contract-") as root:
        folder = pathlib.Path(os.path.realpath(root))
        (folder / "text").mkdir()
        texts, runs = contract_text.Texts(folder / "text"), contract_train.Runs(folder)
        for router in ("softmax_pre", "sinkhorn_log"):
            runs.toy_run(router)  # what all groups use is there before they run side by side
        groups = [[(contract_text, texts), (contract_commands, runs), (contract_capacity, runs), (contract_analyze, runs)], [(contract_train, runs), (contract_study, contract_study.Studies(runs))]]
        return run_checks("contract_test", groups, sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
