"""Accounts: positions, risk, kill switches."""

from __future__ import annotations

from fastapi import APIRouter

from infra.server import models as m
from infra.server.pages import paged
from infra.server.problems import Refused, responses
from infra.server.services import Cursor, In, Key, Limit, Services, Working
from infra.server.views import account_view, risk_view
from streams.errors import MissingData

router = APIRouter(tags=["accounts"])


@router.get("/positions", response_model=m.Page[m.AccountView], responses=responses(422))
async def positions(
    services: In, limit: Limit = 100, cursor: Cursor = None, account_id: str | None = None
) -> m.Page[m.AccountView]:
    """List what each account holds, the one that changed last first."""
    accounts = services.live.accounts
    found = [each for each in accounts.known.values() if each.state and account_id in (None, each.account_id)]
    page, following = paged(
        found, limit, cursor, lambda each: (each.state.ts_event if each.state else 0, each.account_id)
    )
    views = [account_view(each, accounts) for each in page]
    return m.Page(items=[each for each in views if each is not None], next=following)


@router.get("/risk", response_model=m.Page[m.RiskView], responses=responses(422))
async def risk(
    services: In, limit: Limit = 100, cursor: Cursor = None, account_id: str | None = None
) -> m.Page[m.RiskView]:
    """List each account's limits, what it uses of them, and its kill switch."""
    accounts = services.live.accounts
    found = [each for each in accounts.known.values() if account_id in (None, each.account_id)]
    page, following = paged(found, limit, cursor, lambda each: (0, each.account_id))
    return m.Page(items=[risk_view(each, accounts) for each in page], next=following)


@router.post("/kill-switch", response_model=m.KillSwitchAnswer, responses=responses(404, 409, 422, 503))
async def kill_switch(body: m.KillSwitchBody, services: Working, key: Key = None) -> m.KillSwitchAnswer:
    """Trip or release kill switches; answers when risk has taken it."""
    accounts = [name for name in _accounts(body, services) if _differs(name, body.active, services)]
    services.idempotency.check("/kill-switch", key, body)
    done = await services.orchestrator.set_kill_switches(accounts, body.active, body.reason) if accounts else []
    return m.KillSwitchAnswer(changed=accounts, pending=[each["account_id"] for each in done if each["pending"]])


def _differs(name: str, active: bool, services: Services) -> bool:
    account = services.live.accounts.of(name)
    stands = account.word.active if account.word and account.pending else account.switch and account.switch.active
    return bool(stands) != active


def _accounts(body: m.KillSwitchBody, services: Services) -> list[str]:
    known, runs = services.live.accounts.known, services.live.runs
    if [body.account_id, body.run_id, body.all].count(None) != 2:
        raise Refused(422, "give exactly one of account_id, run_id and all")
    if body.all:
        return sorted(known)
    if body.run_id is not None:
        if body.run_id not in runs:
            raise MissingData(f"no active run {body.run_id!r}")
        return [runs[body.run_id].account_id]
    if body.account_id not in known:
        raise MissingData(f"no account {body.account_id!r}")
    return [body.account_id]
