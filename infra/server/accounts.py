"""Accounts as the log tells of them: money, positions, limits, kill switches."""

from __future__ import annotations

from dataclasses import dataclass, field

from infra.server.curve import Curve
from schemas import Instrument, KillSwitchChanged, KillSwitchSet, PositionsUpdated, RiskLimits, StrategyStarted


@dataclass
class Account:
    """What is known of one account."""

    account_id: str
    curve: Curve
    run_id: str | None = None
    """The run that trades for it; the last, where several share it."""
    limits: RiskLimits | None = None
    state: PositionsUpdated | None = None
    switch: KillSwitchChanged | None = None
    """What risk last did."""
    word: KillSwitchSet | None = None
    """What an operator last said."""
    answered: set[str] = field(default_factory=set)
    """What risk did it for: commands that it has taken, among others."""

    @property
    def pending(self) -> bool:
        """Return whether risk has not taken the operator's last word yet."""
        return self.word is not None and self.word.command_id not in self.answered


@dataclass
class Accounts:
    """All accounts, and what one unit of each instrument is worth."""

    history: int
    """Points that are kept of an account's equity, at least."""
    known: dict[str, Account] = field(default_factory=dict)
    multipliers: dict[str, float] = field(default_factory=dict)
    """Currency value of one unit at price 1, by instrument_id."""

    def of(self, account_id: str) -> Account:
        """Return an account, a new one where it was not known."""
        if account_id not in self.known:
            self.known[account_id] = Account(account_id, Curve(self.history))
        return self.known[account_id]

    def learn_run(self, run: StrategyStarted) -> None:
        """Note whose money a run trades, and within which limits."""
        account = self.of(run.account_id)
        account.run_id, account.limits = run.run_id, run.limits
        for instrument in run.instruments:
            self.learn_instrument(instrument)

    def learn_instrument(self, instrument: Instrument) -> None:
        """Note what a unit is worth."""
        self.multipliers[instrument.instrument_id] = instrument.multiplier

    def learn_state(self, state: PositionsUpdated) -> None:
        """Note the state after a slice."""
        account = self.of(state.account_id)
        account.state = state
        account.curve.add(state.ts_event, state.equity, state.cash)

    def learn_switch(self, switch: KillSwitchChanged, cause: str) -> None:
        """Note that risk tripped or released a kill switch; cause: message id of what it did it for."""
        account = self.of(switch.account_id)
        account.answered.add(cause)
        if account.switch is None or switch.ts_event >= account.switch.ts_event:
            account.switch = switch

    def learn_word(self, word: KillSwitchSet) -> None:
        """Note what an operator said."""
        account = self.of(word.account_id)
        if account.word is None or word.ts_event >= account.word.ts_event:
            account.word = word

    def values(self, state: PositionsUpdated) -> list[float]:
        """Return the signed value of each position at its mark, in the currency."""
        return [
            position.quantity * position.mark * self.multipliers.get(position.instrument_id, 1.0)
            for position in state.positions
        ]
