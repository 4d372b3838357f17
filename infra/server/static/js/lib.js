// The one place that knows the vendored libraries' global names.
const { h, render } = window.preact;
export const { useEffect, useId, useMemo, useRef, useState } = window.preactHooks;
export const { batch, computed, effect, signal, untracked } = window.preactSignals;
export const html = window.htm.bind(h);
export const uPlot = window.uPlot;
export { render };
