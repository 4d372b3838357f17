// Light, dark, or as the system says.

import { effect, signal } from "./lib.js";

const system = matchMedia("(prefers-color-scheme: dark)");
const systemDark = signal(system.matches);
system.addEventListener("change", () => { systemDark.value = system.matches; });

export const choice = signal(document.documentElement.dataset.theme ?? "system");
export const dark = () => (choice.value === "system" ? systemDark.value : choice.value === "dark");

export function choose(theme) {
  choice.value = theme;
  if (theme === "system") localStorage.removeItem("theme");
  else localStorage.setItem("theme", theme);
}

effect(() => {
  if (choice.value === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = choice.value;
});
