// One item whole: lists and events leave out what is long.

import { get } from "../api.js";
import { useEffect, useState } from "../lib.js";

/** Fetch a path, and again whenever `version` changes; return {item, problem, load}; item stays until the next is there. */
export function useDetail(path, version) {
  const [state, setState] = useState({ item: null, problem: null });
  const load = () => {
    let wanted = true;
    get(path).then(
      (item) => wanted && setState({ path, item, problem: null }),
      (problem) => wanted && setState((before) => ({ ...before, problem })),
    );
    return () => { wanted = false; };
  };
  useEffect(load, [path, version]);
  return { item: state.path === path ? state.item : null, problem: state.problem, load };
}
