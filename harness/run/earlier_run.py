# SPDX-License-Identifier: GPL-2.0-only
"""An earlier run, asked for again: its settings, and whether its kernel can still be had."""

from __future__ import annotations

from dataclasses import replace

from harness.core import events as ev
from harness.core.errors import InvocationError
from harness.core.settings import Settings, from_environment
from harness.report.records import RunDocument
from harness.run.pipeline import Prepared
from harness.run.session import Session


def asked_again(run: RunDocument, settings: Settings) -> Settings:
    """What the run was asked for; where things are kept, and how much is to be done, is ours."""
    then = from_environment({name: value for name, value in run["asked"].items() if value})
    return replace(
        then, out=settings.out, cache=settings.cache, cache_limit=settings.cache_limit,
        runs=settings.runs, repeat=settings.repeat, jobs=settings.jobs, sandbox=settings.sandbox,
        dump=False,
    )  # fmt: skip


def require_same(session: Session, run: RunDocument, prepared: Prepared) -> None:
    """Raises InvocationError where base, series or configuration are not those of the run."""
    config, series = session.results.last(ev.ConfigKnown), session.results.last(ev.SeriesKnown)
    patches = [patch.patch_id for patch in series.patches] if series else []
    then = [patch.patch_id for patch in run["series"]["patches"]]
    differs = {
        "the base": prepared.base.commit != run["kernel"].commit,
        "the series": patches != then,
        "the configuration": config is not None
        and config.name == run["config"].name
        and config.sha256 != run["config"].sha256,
    }
    if names := [name for name, other in differs.items() if other]:
        what = f"{' and '.join(names)} of run {run['run']} are no longer what they were"
        raise InvocationError(what, next_step="make that run again")
