"""Train a policy on a year of two shares, and let the RL pool trade by it: `python -m examples.train_policy`.

Needs the extra rl. The sample's bars are real and end on 2013-03-01.
"""

import asyncio
import sys

from orchestrator import FinAgentOrchestrator, TradingStrategy
from rl import RewardFunction, RLAlgorithm, RLConfiguration


class ExcessReturn(RewardFunction):
    """What the policy earned above equal weights bought and held, since the episode began."""

    def calculate_reward(self, state, action, next_state, portfolio_value, benchmark_value):  # type: ignore[no-untyped-def]
        """Return the excess as a share of the benchmark's value."""
        return (portfolio_value - benchmark_value) / benchmark_value


async def main(episodes: int) -> None:
    """Train, say how it went out of sample, and put the policy on the data plane."""
    orchestrator = FinAgentOrchestrator()
    await orchestrator.initialize()
    try:
        config = RLConfiguration(algorithm=RLAlgorithm.TD3, learning_rate=0.0003, net_arch=(64, 64))
        await orchestrator.initialize_rl_engine(config)
        result = await orchestrator.train_rl_policy(
            {
                "training_episodes": episodes,
                "symbols": ["AAPL", "GOOGL"],
                "start_date": "2012-01-01",
                "end_date": "2012-12-31",
                "reward": ExcessReturn(),
            }
        )
        span = result["out_of_sample"]
        print(f"{result['source']} ({result['data']} data), seed {result['seed']}, {span['start']} to {span['end']}:")
        print(f"policy       {result['final_performance']}")
        print(f"buy and hold {result['baselines']['buy and hold']}")
        print(f"convergence: {result['convergence']['status']}, {result['convergence']['reason']}")
        strategy = TradingStrategy(
            strategy_id="trained",
            name="Traded by the policy",
            symbols=["AAPL", "GOOGL"],
            rebalance_frequency="bar",
            parameters={"strategy_type": "rl", "policy_id": result["policy_id"], "rebalance_band": 0.0},
        )
        run = await orchestrator.start_strategy(strategy)
        print(f"run {run.run_id} is decided by {result['policy_id']} version {result['version']}")
    finally:
        await orchestrator.shutdown()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000))
