// Outlines on a 16 x 16 grid. A state differs by shape, not by colour alone.

export const PATHS = {
  waiting: "M8 3a5 5 0 1 0 0 10A5 5 0 0 0 8 3z",
  running: "M5 3.5l7 4.5-7 4.5z",
  backoff: "M4 3h8M4 13h8M5 3c0 5 6 5 6 10M11 3c0 5-6 5-6 10",
  completed: "M3 8.5l3.2 3.2L13 5",
  failed: "M4 4l8 8M12 4l-8 8",
  cancelled: "M4 8h8",
  stopped: "M4.5 4.5h7v7h-7z",
  queued: "M3.5 5h9M3.5 8h9M3.5 11h5",
  healthy: "M3 8.5l3.2 3.2L13 5",
  degraded: "M8 2.5l6 11H2zM8 6.5v3M8 11.4v.2",
  critical: "M5.5 2.5h5l3 3v5l-3 3h-5l-3-3v-5zM8 5v3.5M8 10.8v.2",
  live: "M8 5.5a2.5 2.5 0 1 0 0 5 2.5 2.5 0 0 0 0-5z",
  reconnecting: "M13 8a5 5 0 1 1-1.5-3.6M13 2.5v3h-3",
  close: "M4 4l8 8M12 4l-8 8",
  up: "M8 13V3M4 7l4-4 4 4",
  down: "M8 3v10M4 9l4 4 4-4",
  pause: "M6 4v8M10 4v8",
  play: "M5 3.5l7 4.5-7 4.5z",
  lock: "M4.5 7.5h7v6h-7zM6 7.5V5a2 2 0 0 1 4 0v2.5",
  open: "M6 4l4 4-4 4",
};
PATHS.active = PATHS.running;
PATHS.accepted = PATHS.live;
PATHS.tripped = PATHS.lock;
PATHS.submitted = PATHS.waiting;
PATHS.partially_filled = PATHS.running;
PATHS.filled = PATHS.completed;
PATHS.canceled = PATHS.cancelled;
PATHS.rejected = PATHS.denied = PATHS.failed;
PATHS.expired = PATHS.backoff;

const TONES = {
  good: ["completed", "healthy", "active", "live", "filled"],
  busy: ["running", "accepted", "submitted", "partially_filled", "queued"],
  warn: ["backoff", "degraded", "reconnecting", "expired", "connecting"],
  bad: ["failed", "critical", "rejected", "denied", "tripped"],
};

/** Return good, busy, warn, bad or calm. */
export const toneOf = (state) => Object.keys(TONES).find((tone) => TONES[tone].includes(state)) ?? "calm";
