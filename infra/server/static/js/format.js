// Figures and times as people read them. A missing value is a dash, never a zero.

export const NONE = "–";
const two = new Intl.NumberFormat("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
const upToFour = new Intl.NumberFormat("en-US", { maximumFractionDigits: 4 });
const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
const missing = (value) => value === null || value === undefined || Number.isNaN(value);

export const money = (value) => (missing(value) ? NONE : two.format(value));
export const count = (value) => (missing(value) ? NONE : whole.format(value));
export const number = (value) => (missing(value) ? NONE : upToFour.format(value));
export const percent = (share, digits = 2) => (missing(share) ? NONE : `${(share * 100).toFixed(digits)} %`);
export const signed = (value, text) => (!missing(value) && value > 0 ? `+${text}` : text);
export const signClass = (value) => (missing(value) || value === 0 ? "" : value > 0 ? "gain" : "loss");

/** Return ms since 1970 of an RFC 3339 time; nanoseconds are cut. */
export const instant = (time) => (time ? Date.parse(time.replace(/(\.\d{3})\d+/, "$1")) : NaN);

/** Return "2012-03-01 21:00:00" of an RFC 3339 time in UTC. */
export function time(text) {
  const ms = instant(text);
  return Number.isNaN(ms) ? NONE : new Date(ms).toISOString().slice(0, 19).replace("T", " ");
}

/** Return a duration in words of one unit or two. */
export function duration(seconds) {
  if (missing(seconds)) return NONE;
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.floor(seconds % 60)} s`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
  return `${Math.floor(seconds / 86400)} d ${Math.floor((seconds % 86400) / 3600)} h`;
}

export const between = (from, to) => {
  const ms = instant(to) - instant(from);
  return Number.isNaN(ms) ? null : ms / 1000;
};

export function bytes(value) {
  if (missing(value)) return NONE;
  return value < 2 ** 20 ? `${Math.round(value / 1024)} kB` : value < 2 ** 30 ? `${(value / 2 ** 20).toFixed(0)} MB` : `${(value / 2 ** 30).toFixed(2)} GB`;
}

/** Return "Max drawdown" of max_drawdown, "VaR 95" of var_95. */
export function words(name) {
  const text = String(name).replaceAll("_", " ").replace(/\b(var|cvar|pnl|sharpe|sortino|calmar|omega)\b/g, (word) => TERMS[word]);
  return text.charAt(0).toUpperCase() + text.slice(1);
}

const TERMS = { var: "VaR", cvar: "CVaR", pnl: "PnL", sharpe: "Sharpe", sortino: "Sortino", calmar: "Calmar", omega: "Omega" };
