// What a backtest can be, and the options that each mode has beside strategy and data.

const SEED = { name: "seed", type: "int", min: 0, default: 0, required: true, description: "The same seed gives the same result." };
const SHOCKS = ["market_crash", "volatility_spike", "liquidity_crisis", "flash_crash", "rate_shock"];

export const MODES = {
  historical_backtest: { short: "backtest", title: "Historical backtest", says: "Replays daily bars through the pools that trade live.", fields: [] },
  stress_test: {
    short: "stress",
    title: "Stress test",
    says: "Runs the strategy on shocked data, beside its baseline and buy-and-hold.",
    fields: [
      { name: "stress_scenarios", label: "Shocks", type: "list", choices: SHOCKS, default: SHOCKS, required: true, wide: true, description: "Separated by commas." },
      { name: "severity_levels", label: "Severities", type: "numbers", default: [0.5, 0.75, 1], min: 0, exclusive_min: true, max: 2, required: true, description: "Shares of each shock's stated size." },
      { name: "shock_date", label: "Session of the shock", type: "date", description: "Empty: the middle of the data." },
    ],
  },
  ab_test: {
    short: "ab",
    title: "A/B test",
    says: "Compares two strategies on the same data, paired by day.",
    fields: [SEED, { name: "resamples", type: "int", min: 100, max: 1_000_000, default: 2000, required: true, description: "Of the bootstrap." },
      { name: "confidence", type: "float", min: 0, exclusive_min: true, max: 0.999, default: 0.95, required: true, description: "Level of the interval." }],
  },
  monte_carlo: {
    short: "paths",
    title: "Monte Carlo",
    says: "Runs the strategy on many paths resampled from history.",
    fields: [{ name: "paths", type: "int", min: 2, max: 10_000, default: 100, required: true, description: "Resampled paths." }, SEED],
  },
  live_simulation: {
    short: "live",
    title: "Live simulation",
    says: "Feeds history through the live path: feed, broker, orchestrator and all pools.",
    fields: [{ name: "pace", label: "Pace, slices per second", type: "float", min: 0, default: 0, required: true, description: "0: as fast as it goes." }],
  },
};
