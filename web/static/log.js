"use strict";
// Follows a log: by server-sent events, and where those cannot be had by asking again and again.
(() => {
  const MOST = 5000, POLL = 3000, SLOWEST = 30000, NEAR = 40;
  const log = document.getElementById("log");
  if (!log) return;
  const said = document.getElementById("log-said"), follow = document.getElementById("log-follow");
  const end = document.getElementById("log-end"), anew = document.getElementById("log-anew");
  let job = log.dataset.job, at = log.dataset.at, source = null, timer = 0, wait = POLL, over = false;
  let following = log.dataset.open !== undefined, dropped = false;

  const bottom = () => { log.scrollTop = log.scrollHeight; };
  const address = (what) => `/ui/jobs/${job}/log/${what}?at=${encodeURIComponent(at)}`;
  const tell = (text) => { if (said.textContent !== text) said.textContent = text; };

  // At most so many lines stay: the first are let go. Text is only ever put in as text.
  const add = (text) => {
    log.append(text);
    let lines = (log.textContent.match(/\n/g) || []).length;
    if (lines <= MOST) return;
    const all = log.textContent;
    let cut = -1;
    for (; lines > MOST; lines -= 1) cut = all.indexOf("\n", cut + 1);
    log.textContent = all.slice(cut + 1);
    dropped = true;
  };
  const take = (part) => {
    const wasAtEnd = log.scrollHeight - log.scrollTop - log.clientHeight < NEAR;
    if (part.anew) add("\n──── begun again ────\n");
    if (part.text) add(part.text);
    at = part.at;
    if (wasAtEnd) bottom();
    tell(dropped ? `Following; the last ${MOST} lines.` : "Following.");
  };
  const ended = (part) => {
    source?.close();
    source = null;
    if (part.next) {
      add(`\n──── job ${job} ${part.status}; job ${part.next} came after it ────\n`);
      job = part.next;
      at = ":0";
      bottom();
      return start();
    }
    over = true;
    follow.hidden = true;
    tell(`The job is over: ${part.status}.`);
  };

  const poll = async () => {
    clearTimeout(timer);
    if (!following || over) return;
    try {
      const answer = await fetch(address("part"), { credentials: "same-origin", cache: "no-store" });
      if (answer.redirected || answer.status === 401 || answer.status === 403) return tell("You are no longer signed in.");
      if (!answer.ok) throw new Error(String(answer.status));
      const part = await answer.json();
      wait = POLL;
      take(part);
      if (!part.open) return ended(part);
    } catch {
      wait = Math.min(wait * 2, SLOWEST);
      tell("Not connected; trying again.");
    }
    timer = setTimeout(poll, document.hidden ? SLOWEST : wait);
  };
  const start = () => {
    clearTimeout(timer);
    source?.close();
    if (!following || over) return;
    if (!window.EventSource) return poll();
    source = new EventSource(address("stream"));
    source.addEventListener("open", () => tell("Following."));
    source.addEventListener("lines", (event) => take(JSON.parse(event.data)));
    source.addEventListener("end", (event) => ended(JSON.parse(event.data)));
    source.addEventListener("error", () => {
      // Closed for good: there was no room for one more, or nobody streams here. Else it comes again.
      if (source && source.readyState === EventSource.CLOSED) {
        source = null;
        poll();
      } else tell("Not connected; trying again.");
    });
  };
  const turn = (wanted) => {
    following = wanted;
    follow.textContent = wanted ? "Stop following" : "Follow";
    if (wanted) { bottom(); start(); }
    else { clearTimeout(timer); source?.close(); source = null; tell("Stopped."); }
  };

  anew.hidden = true;
  end.hidden = false;
  end.addEventListener("click", bottom);
  follow.addEventListener("click", () => turn(!following));
  window.addEventListener("pagehide", () => source?.close());
  window.addEventListener("pageshow", (event) => { if (event.persisted) start(); });
  bottom();
  if (following) { follow.hidden = false; start(); }
})();
