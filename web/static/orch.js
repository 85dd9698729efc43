"use strict";
// Only what HTML cannot do. Every page works without it.
(() => {
  const EVERY = 5000, SLOWEST = 30000, TICK = 5000;
  const byId = (id) => document.getElementById(id);
  const live = () => byId("live");
  const dialog = byId("dialog"), body = byId("dialog-body"), help = byId("help");
  const away = byId("away"), fresh = byId("fresh"), wanted = byId("refresh");
  let skew = null, wait = EVERY, timer = 0, asking = null, lostAt = null, ended = false;

  // --- times: true without asking again ---------------------------------------------------------
  const UNITS = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
  const span = (seconds) => {
    const parts = [];
    let left = Math.floor(seconds);
    for (const [unit, size] of UNITS) {
      if (left >= size) parts.push(`${Math.floor(left / size)} ${unit}`);
      left %= size;
    }
    return parts.slice(0, 2).join(" ") || "0 s";
  };
  const clock = (moment) => moment.toLocaleTimeString([], { hour12: false });
  const tick = () => {
    if (skew === null) return;
    const now = Date.now() + skew;
    for (const each of document.querySelectorAll("time[datetime]")) {
      const old = (now - Date.parse(each.dateTime)) / 1000;
      if (Number.isNaN(old)) continue;
      const said = each.dataset.plain !== undefined ? span(Math.max(0, old)) : old >= 0 ? `${span(old)} ago` : `in ${span(-old)}`;
      if (each.textContent !== said) each.textContent = said;
      if (!each.title) each.title = each.dateTime;
    }
    for (const each of document.querySelectorAll("progress[data-since]")) {
      each.value = Math.min(each.max, (now - Date.parse(each.dataset.since)) / 1000);
    }
  };

  // --- refresh: ask whether something changed, and change only that -----------------------------
  const rows = () => new Map([...live().querySelectorAll("[data-row]")].map((row) => {
    const copy = row.cloneNode(true);
    copy.querySelectorAll("time, progress").forEach((each) => each.remove());
    return [row.id || row.dataset.row, copy.textContent];
  }));
  const announce = (before, after) => {
    const names = new Set([...before.keys(), ...after.keys()]);
    const changed = [...names].filter((name) => before.get(name) !== after.get(name)).length;
    if (changed) byId("said").textContent = changed === 1 ? "1 task changed" : `${changed} tasks changed`;
  };
  const flash = (page) => {
    const said = page.getElementById("flash");
    if (said && said.firstElementChild) byId("flash").replaceChildren(...said.childNodes);
  };
  const take = async (text) => {
    const page = new DOMParser().parseFromString(text, "text/html");
    const next = page.getElementById("live");
    if (!next || !next.dataset.tag) return stop("This page has ended.");
    flash(page);
    const before = rows();
    await htmx.swap({ text: next.outerHTML, target: live(), swap: "outerMorph", transition: false });
    announce(before, rows());
    tick();
  };
  const lost = () => {
    lostAt = lostAt || new Date();
    away.textContent = `Not connected since ${clock(lostAt)}. What you see may be old; trying again.`;
    away.hidden = false;
    fresh.textContent = "";
    wait = Math.min(wait * 2, SLOWEST);
  };
  const stop = (why) => {
    ended = true;
    away.replaceChildren(`${why} `, Object.assign(document.createElement("a"), { href: location.href, textContent: "Load it anew." }));
    away.hidden = false;
  };
  const found = async (answer) => {
    if (answer.redirected || answer.status === 401 || answer.status === 403) return stop("You are no longer signed in.");
    if (answer.status !== 200 && answer.status !== 304) return lost();
    const date = Date.parse(answer.headers.get("Date"));
    if (date) skew = date - Date.now();
    if (answer.status === 200) await take(await answer.text());
    lostAt = null;
    wait = EVERY;
    if (!ended) away.hidden = true;
    fresh.textContent = `as of ${clock(new Date())}`;
  };
  const ask = async () => {
    clearTimeout(timer);
    if (!live() || !live().dataset.tag || ended) return;
    asking = asking || (async () => {
      const end = AbortSignal.timeout(20000);
      try {
        await found(await fetch(location.pathname + location.search, {
          headers: { "If-None-Match": live().dataset.tag }, credentials: "same-origin", cache: "no-store", signal: end,
        }));
      } catch (error) {
        if (!(error instanceof TypeError || error instanceof DOMException)) throw error;
        lost();
      } finally {
        asking = null;
        plan();
      }
    })();
    await asking;
  };
  const plan = () => {
    clearTimeout(timer);
    if (wanted && wanted.checked && !document.hidden && !ended) timer = setTimeout(ask, wait);
  };
  if (wanted && live().dataset.tag) {
    fresh.hidden = false;
    wanted.closest("label").hidden = false;
    wanted.checked = sessionStorage.getItem("refresh") !== "off";
    wanted.addEventListener("change", () => {
      sessionStorage.setItem("refresh", wanted.checked ? "on" : "off");
      if (wanted.checked) ask();
      else { clearTimeout(timer); fresh.textContent = "stopped"; }
    });
    document.addEventListener("visibilitychange", () => (document.hidden || !wanted.checked ? clearTimeout(timer) : ask()));
    window.addEventListener("online", () => wanted.checked && ask());
    if (!wanted.checked) fresh.textContent = "stopped";
    plan();
  }
  setInterval(tick, TICK);

  // --- controls in a dialog ---------------------------------------------------------------------
  const fill = (text) => {
    const page = new DOMParser().parseFromString(text, "text/html");
    const form = page.getElementById("control") || page.getElementById("content");
    form.querySelectorAll("h1").forEach((each) => {
      const smaller = document.createElement("h2");
      smaller.append(...each.childNodes);
      each.replaceWith(smaller);
    });
    body.replaceChildren(document.adoptNode(form));
    dialog.setAttribute("aria-label", body.querySelector("h2")?.textContent || "Control");
    const first = body.querySelector("[aria-invalid=true], [autofocus], textarea, input:not([type=hidden])") || body.querySelector("button, a");
    if (first) first.focus();
  };
  const failed = () => {
    const said = document.createElement("p");
    said.className = "alert";
    said.setAttribute("role", "alert");
    said.textContent = "The server does not answer. Nothing was sent twice; try again in a moment.";
    body.querySelectorAll(".alert").forEach((each) => each.remove());
    body.prepend(said);
    body.querySelectorAll("button").forEach((each) => { each.disabled = false; });
  };
  const open = async (address) => {
    try {
      const answer = await fetch(address, { credentials: "same-origin", cache: "no-store" });
      if (answer.redirected) return location.assign(address);
      const text = await answer.text();
      if (!dialog.open) dialog.showModal();
      fill(text);
    } catch { location.assign(address); }
  };
  const address = (verb, target, on = "") =>
    `/ui/control?${new URLSearchParams({ verb, target, on, back: location.pathname + location.search })}`;
  const send = async (form, button) => {
    const values = new URLSearchParams(new FormData(form));
    if (button?.name) values.append(button.name, button.value);
    form.querySelectorAll("button").forEach((each) => { each.disabled = true; });
    try {
      const answer = await fetch(form.action, { method: "POST", body: values, credentials: "same-origin", redirect: "manual" });
      if (answer.type !== "opaqueredirect") return fill(await answer.text());
      dialog.close();
      if (live()?.dataset.tag) await ask(); else location.reload();
    } catch { failed(); }
  };
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-control], button[form=do]");
    if (link && !event.ctrlKey && !event.metaKey && !event.shiftKey && event.button === 0) {
      event.preventDefault();
      open(link.href || address(...link.value.split(" ")));
    }
    if (event.target.closest("dialog [data-close]")) {
      event.preventDefault();
      event.target.closest("dialog").close();
    }
  });
  dialog.addEventListener("submit", (event) => {
    event.preventDefault();
    send(event.target, event.submitter);
  });
  dialog.addEventListener("close", () => body.replaceChildren());

  // --- selection --------------------------------------------------------------------------------
  const count = () => {
    const said = byId("selected");
    if (said) said.textContent = `${document.querySelectorAll("#live [name=item]:checked").length} selected`;
  };
  document.addEventListener("change", (event) => {
    const box = event.target;
    if (box.dataset?.all !== undefined) box.closest(".card").querySelectorAll("[name=item]").forEach((each) => { each.checked = box.checked; });
    count();
  });

  // --- keys -------------------------------------------------------------------------------------
  const all = () => [...document.querySelectorAll("#live [data-row]")].filter((row) => row.checkVisibility());
  const current = () => document.activeElement?.closest("[data-row]");
  const move = (step) => {
    const list = all(), at = list.indexOf(current());
    const next = list[at < 0 ? (step > 0 ? 0 : list.length - 1) : Math.max(0, Math.min(list.length - 1, at + step))];
    next?.querySelector("a.item")?.focus();
    next?.scrollIntoView({ block: "nearest" });
  };
  const KEYS = {
    "/": () => document.querySelector("[type=search]")?.focus(),
    j: () => move(1),
    k: () => move(-1),
    x: () => current()?.querySelector("[name=item]")?.click(),
    p: () => {
      const row = current();
      if (row && document.querySelector("[data-may]")) {
        open(address(row.dataset.parked === undefined ? "pause" : "resume", row.dataset.row || row.id.slice(2)));
      }
    },
    "?": () => help.showModal(),
  };
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest("input:not([type=checkbox]), textarea, select, [contenteditable]");
    if (typing || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    if (KEYS[event.key]) {
      event.preventDefault();
      KEYS[event.key]();
    }
  });
  byId("help-button").hidden = false;
  byId("help-button").addEventListener("click", () => help.showModal());
})();
