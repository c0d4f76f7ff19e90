# SPDX-License-Identifier: GPL-2.0-only
"""The CI definitions: valid by their vendors' schemas, and each of their commands works."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import check_jsonschema
import pytest
import yaml
from click.testing import CliRunner

from harness.build.flavours import load_flavour
from harness.commands.plan import gitlab, listed
from harness.core import git
from harness.core.command_table import PROJECT, VARIABLES
from harness.setup import bootstrap
from tests.support.toy import Toy, grow

GITHUB = PROJECT / ".github" / "workflows" / "revision.yml"
GITLAB = [PROJECT / ".gitlab-ci.yml", PROJECT / "ci/gitlab.yml", PROJECT / "ci/gitlab-cells.yml"]
TYPED = "make revision KERNEL=6.1 TESTS='a or b'"


def valid(schema: str, *files: Path) -> None:
    """Has check-jsonschema, which carries both schemas, look at files; no network."""
    arguments = ["--builtin-schema", schema]
    if "gitlab" in schema:
        arguments += ["--data-transform", "gitlab-ci"]
    done = CliRunner().invoke(check_jsonschema.main, [*arguments, *map(str, files)])
    assert done.exit_code == 0, done.output


def test_github_knows_this_workflow() -> None:
    valid("vendor.github-workflows", GITHUB)
    assert (PROJECT / "ci" / "github.yml").resolve() == GITHUB


def test_gitlab_knows_these_pipelines(tmp_path: Path) -> None:
    child = tmp_path / "cells.yml"
    child.write_text(gitlab({"6.1-default": TYPED}))
    valid("vendor.gitlab-ci", *GITLAB, child)


def test_the_schemas_find_mistakes(tmp_path: Path) -> None:
    for schema, good, word in (
        ("vendor.github-workflows", GITHUB, "runs-on"),
        ("vendor.gitlab-ci", GITLAB[1], "strategy: depend"),
    ):
        bad = tmp_path / good.name
        bad.write_text(good.read_text().replace(word, f"no-{word}"))
        with pytest.raises(AssertionError):
            valid(schema, bad)


# --- commands ----------------------------------------------------------------------


def github_commands() -> Iterator[str]:
    for job in yaml.safe_load(GITHUB.read_text())["jobs"].values():
        for step in job["steps"]:
            if "run" in step:
                yield step["run"].replace("${{ matrix.command }}", TYPED)


def gitlab_commands() -> Iterator[str]:
    for path in GITLAB:
        for job in yaml.safe_load(path.read_text()).values():
            if isinstance(job, dict):
                yield from job.get("script", ())


COMMANDS = tuple(dict.fromkeys((*github_commands(), *gitlab_commands())))
MAKES = tuple(c for c in COMMANDS if c.startswith("make "))


def test_all_commands_were_found() -> None:
    assert {"make check", "make plan", TYPED} == set(MAKES)
    # What is no target of the Makefile is one of these; a new command needs a test here.
    others = [c for c in COMMANDS if c not in MAKES]
    known = ("apt-get ", "ci/", "before=", "if [ ", "echo ", "eval ")
    assert [c for c in others if not c.startswith(known)] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_is_shell(command: str) -> None:
    done = subprocess.run(["sh", "-n", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for script in re.findall(r"ci/\w+", command):
        assert os.access(PROJECT / script, os.X_OK)


@pytest.mark.parametrize("command", MAKES)
def test_a_make_command_is_a_target_with_variables_that_exist(command: str) -> None:
    words = shlex.split(command)
    assert all(w.partition("=")[0] in VARIABLES for w in words[1:] if "=" in w)
    done = subprocess.run(
        ["make", "--dry-run", *words[1:]], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "bootstrap.py" in done.stdout


def test_the_variables_of_both_are_those_of_the_harness() -> None:
    asked = {**yaml.safe_load(GITHUB.read_text())["env"]}
    asked.pop("BEFORE")
    variables = yaml.safe_load(GITLAB[1].read_text())["variables"]
    assert set(asked) <= set(VARIABLES)
    assert {name for name in variables if not name.startswith("GIT_")} <= set(VARIABLES)
    for config in listed(variables["CONFIG"]):
        load_flavour(config)


def sh(command: str, cwd: Path, **env: str) -> str:
    done = subprocess.run(
        ["sh", "-ec", command], cwd=cwd, capture_output=True, text=True, check=False,
        env={**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", **env},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_revision_before_is_the_patches_of_that_commit(tmp_path: Path) -> None:
    repo = tmp_path / "repo"
    (repo / "patches" / "volatile" / "6.1").mkdir(parents=True)
    shutil.copytree(PROJECT / "ci", repo / "ci")
    patch = repo / "patches" / "volatile" / "6.1" / "0001-a.patch"
    git.text(None, "init", "--quiet", str(repo))
    ids = []
    for text in ("before", "after"):
        patch.write_text(text)
        git.text(repo, "add", "patches")
        git.text(repo, "commit", "--quiet", "--message", text)
        ids.append(git.text(repo, "rev-parse", "HEAD"))
    assert sh(f"ci/before {ids[0]}", repo) == "PREVIOUS=out/before/patches/volatile\n"
    assert (repo / "out/before/patches/volatile/6.1/0001-a.patch").read_text() == "before"
    nothing = "0" * 40
    assert sh(f"ci/before {nothing}; ci/before ''", repo) == ""
    # As the definitions use it.
    said = tmp_path / "env"
    step = next(c for c in COMMANDS if "GITHUB_ENV" in c)
    sh(step, repo, SERIES="", PREVIOUS="", BEFORE=ids[0], GITHUB_ENV=str(said))
    assert said.read_text() == "PREVIOUS=out/before/patches/volatile\n"
    given = [c for c in gitlab_commands() if "before" in c]
    script = "\n".join([*given, "echo $PREVIOUS"])
    for said_before, used in (("", "out/before/patches/volatile"), ("mine", "mine")):
        env = {"SERIES": "", "PREVIOUS": said_before, "CI_COMMIT_BEFORE_SHA": ids[0]}
        assert sh(script, repo, **env) == f"{used}\n"


def test_the_runner_is_asked_for_kvm(tmp_path: Path) -> None:
    step = next(c for c in github_commands() if "/dev/kvm" in c)
    for device, said in ((tmp_path, f"devices=--device={tmp_path}\n"), (tmp_path / "none", "")):
        out = tmp_path / "out"
        out.write_text("")
        sh(step.replace("/dev/kvm", str(device)), tmp_path, GITHUB_OUTPUT=str(out))
        assert out.read_text() == said


@pytest.mark.skipif(
    not bootstrap.ready(PROJECT / ".venv", [PROJECT / "requirements-dev.lock"]),
    reason="runs make, which would make another .venv",
)
def test_the_plan_goes_where_the_definitions_look_for_it(toy: Toy, tmp_path: Path) -> None:
    """make plan itself, and the step that hands its matrix to the next job."""
    series = toy.series(("one", {"mm/swap.c": grow}))
    out = tmp_path / "here" / "out"
    env = {
        "KERNEL": str(toy.tree), "SERIES": str(series), "CONFIG": "default,kasan", "OUT": str(out),
        "HARNESS_CACHE": str(toy.store.root), "GITHUB_OUTPUT": str(tmp_path / "matrix"),
    }  # fmt: skip
    # A make below `make check` would say which folder it leaves, behind what the plan says.
    commands = sh("make --no-print-directory plan", PROJECT, **env).splitlines()[-2:]
    hand_over = next(c for c in github_commands() if "cells.json" in c)
    sh(hand_over, out.parent, **env)
    name, _, value = (tmp_path / "matrix").read_text().partition("=")
    include: list[dict[str, Any]] = json.loads(value)
    assert name == "cells"
    used = set(re.findall(r"matrix\.(\w+)", GITHUB.read_text()))
    assert used == set(include[0])
    valid("vendor.gitlab-ci", out / "cells.gitlab.yml")
    assert [row["command"] for row in include] == commands
    # GitLab's job has it in a variable.
    run = next(c for c in gitlab_commands() if c.startswith("eval "))
    assert sh(f'make() {{ echo "$2"; }}; {run}', PROJECT, COMMAND=commands[0]) == (
        f"KERNEL={toy.tree}\n"
    )


def test_the_reply_is_on_the_jobs_page(tmp_path: Path) -> None:
    page, reply = tmp_path / "page", tmp_path / "out" / "latest" / "reply.txt"
    step = next(c for c in github_commands() if "STEP_SUMMARY" in c)
    sh(step, tmp_path, GITHUB_STEP_SUMMARY=str(page))  # it was refused before it began
    assert not page.exists()
    reply.parent.mkdir(parents=True)
    reply.write_text("Verdict: none\n\n| not | a | table |\n")
    sh(step, tmp_path, GITHUB_STEP_SUMMARY=str(page))
    assert page.read_text() == "    Verdict: none\n    \n    | not | a | table |\n"
