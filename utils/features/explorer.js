// Shows the parts of HTML that Python sets, and sends it what is pressed: {do, what}. See explorer.py.

function render({ model, el }) {
  const root = document.createElement("div");
  root.className = "htf-explorer";
  root.dataset.lmSuppressShortcuts = "true"; // JupyterLab's keys are not for these buttons
  el.append(root);
  const regions = {};
  let asked = "";
  const send = (what) => { asked = what.do; root.classList.add("htf-busy"); model.send(what); };

  function parts() {
    const now = model.get("parts");
    for (const name of Object.keys(now).sort()) {
      const region = (regions[name] ??= root.appendChild(document.createElement("div")));
      const focused = region.contains(document.activeElement) ? document.activeElement : null;
      if (region.shown === now[name] || focused?.matches("input, textarea:enabled")) continue;
      const { do: name_, what } = focused?.dataset ?? {};
      region.className = `htf-${name.slice(2)}`;
      region.innerHTML = region.shown = now[name];
      if (focused) region.querySelector(`[data-do='${name_}'][data-what='${what}']`)?.focus();
      if (name === "g_card" && ["open", "draw"].includes(asked)) region.scrollIntoView({ block: "nearest", behavior: "smooth" });
    }
    root.append(said);
  }

  // The sentence shaded by one latent alone, or as it was.
  function shade(latent) {
    const acts = model.get("acts")[latent];
    root.querySelectorAll(".htf-words button").forEach((word, t, all) => {
      word.dataset.own ??= word.style.background;
      const share = acts && acts[t] / Math.max(...acts);
      word.style.background = latent === undefined ? word.dataset.own : `rgba(86,180,233,${share ?? 0})`;
    });
  }

  root.addEventListener("click", ({ target }) => {
    const { do: name, what } = target.closest("button[data-do]")?.dataset ?? {};
    if (!name) return;
    const input = what === "" && root.querySelector(`input[data-do=${name}]`);
    send({ do: name, what: input ? input.value : what });
  });
  root.addEventListener("keydown", ({ key, target }) => {
    if (key === "Enter" && target.matches("input")) send({ do: target.dataset.do, what: target.value });
  });
  root.addEventListener("input", ({ target }) => target.matches("textarea") && send({ do: "describe", what: target.value }));
  for (const [event, latent] of [["mouseover", true], ["focusin", true], ["mouseout", false], ["focusout", false]])
    root.addEventListener(event, ({ target }) => {
      const button = target.closest("[data-latent]");
      if (button) shade(latent ? button.dataset.latent : undefined);
    });

  const said = document.createElement("div");
  said.className = "htf-said";
  said.role = "status";
  const answered = () => { root.classList.remove("htf-busy"); said.textContent = model.get("said").text ?? ""; };
  const listen = { parts, said: answered };
  for (const [name, redraw] of Object.entries(listen)) { redraw(); model.on(`change:${name}`, redraw); }
  return () => Object.entries(listen).forEach(([name, redraw]) => model.off(`change:${name}`, redraw));
}

export default { render };
