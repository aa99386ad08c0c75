"use strict";
// The pages work without this script. With it the list follows what happens elsewhere, an approval opens in its
// place, and there are keys. Nothing here writes text as markup: whole parts come from the server, escaped there.
(() => {
  const $ = (selector, root = document) => root.querySelector(selector);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const list = () => $("#list");
  const single = $("#single");
  const say = (text) => { $("#said").textContent = text; };

  // ---- the server's clock: deadlines are set by it
  let skew = 0;
  const keepTime = (element) => {
    const now = Date.parse(element?.dataset.now);
    if (now) skew = now - Date.now();
  };
  const two = (number) => String(number).padStart(2, "0");
  const span = (seconds) => {
    const h = Math.floor(seconds / 3600), m = Math.floor(seconds / 60) % 60, s = seconds % 60;
    return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
  };
  const ago = (seconds, date) => {
    if (seconds < 45) return "just now";
    if (seconds < 5400) return `${Math.round(seconds / 60)} min ago`;
    if (seconds < 129600) return `${Math.round(seconds / 3600)} h ago`;
    return date.toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
  };
  const write = (element, text) => { if (element.textContent !== text) element.textContent = text; };
  function tick() {
    const now = Date.now() + skew;
    for (const element of all(".countdown")) {
      const left = Math.ceil((Date.parse(element.dataset.deadline) - now) / 1000);
      write(element, left > 0 ? `goes out in ${span(left)}` : "goes out now");
      element.classList.toggle("soon", left <= 60);
    }
    for (const element of all("time[datetime]")) {
      const date = new Date(element.dateTime);
      if (!element.title) element.title = element.textContent;
      write(element, element.matches(".exact") ? date.toLocaleTimeString() : ago((now - date) / 1000, date));
    }
  }

  // ---- parts of pages
  async function part(address, name, options = {}) {
    const response = await fetch(address, { ...options, headers: { "X-Part": name } });
    const parsed = new DOMParser().parseFromString(await response.text(), "text/html");
    return { status: response.status, element: parsed.body.firstElementChild };
  }
  function fault(text) {
    const element = document.createElement("p");
    element.className = "problem";
    element.setAttribute("role", "alert");
    element.textContent = text;
    return element;
  }
  const UNREACHED = "The server does not answer. Whether this was decided is not known: it shows when it is back.";
  const FIELDS = "textarea, input:not([type=hidden]), select";
  const dirty = (root) => all(FIELDS, root)
    .some((one) => one.tagName === "SELECT" ? all("option", one).some((o) => o.selected !== o.defaultSelected)
      : one.value !== one.defaultValue);

  // ---- entries of the list
  const entries = () => all(".entry");
  const summary = (entry) => $(".summary", entry);
  const item = (entry) => $(".item", entry);
  const isOpen = (entry) => summary(entry)?.getAttribute("aria-expanded") === "true";
  let last = null;
  document.addEventListener("focusin", (event) => { last = event.target.closest(".entry") ?? last; });
  const current = () => document.activeElement?.closest(".entry") ?? (last?.isConnected ? last : null);

  async function open(entry) {
    let place = $(".opened", entry);
    if (!place) {
      place = document.createElement("div");
      place.className = "opened";
      place.id = `opened-${entry.dataset.id}`;
      entry.append(place);
      summary(entry).setAttribute("aria-controls", place.id);
    }
    if (!$(".item", place)) {
      const found = await part(summary(entry).href, "item").catch(() => ({ element: fault(UNREACHED) }));
      place.replaceChildren(found.element ?? "");
    }
    place.hidden = false;
    summary(entry).setAttribute("aria-expanded", "true");
    tick();
  }
  function close(entry) {
    $(".opened", entry).hidden = true;
    summary(entry).setAttribute("aria-expanded", "false");
    summary(entry).focus();
  }
  function leave(entry) {
    const focused = entry.contains(document.activeElement);
    const next = entry.nextElementSibling ?? entry.previousElementSibling;
    entry.remove();
    if (focused) (next ? summary(next) : $("#main")).focus();
  }

  // Somebody else was first: say so, keep what was typed to be read or copied, take the buttons away.
  function settle(article, notice) {
    if (article.dataset.status !== "pending") return;
    article.dataset.status = "decided";
    if (notice) {
      const done = document.createElement("button");
      done.type = "button";
      done.className = "quiet";
      done.textContent = "Close";
      done.addEventListener("click", () => {
        const entry = article.closest(".entry");
        if (entry) leave(entry); else location.assign("/inbox");
      });
      notice.append(done);
      article.prepend(notice);
    }
    const typed = dirty(article);
    for (const button of all("form button", article)) button.disabled = true;
    if (!typed) $(".choices", article)?.remove();
  }

  function merge(fresh) {
    const old = list(), place = $("#entries", old);
    const known = new Map(entries().map((entry) => [entry.dataset.id, entry]));
    const listed = all(".entry", fresh);
    const ids = new Set(listed.map((entry) => entry.dataset.id));
    for (const [id, entry] of known) {
      if (ids.has(id)) continue;
      if (!isOpen(entry) && !(item(entry) && dirty(item(entry)))) leave(entry);
      else follow(item(entry), summary(entry).href);
    }
    const added = [];
    for (const entry of listed) {
      const mine = known.get(entry.dataset.id);
      if (!mine) {
        place.append(entry);
        added.push(entry);
      } else if (mine.dataset.version !== entry.dataset.version) {
        mine.dataset.version = entry.dataset.version;
        summary(mine).replaceChildren(...summary(entry).childNodes);
      }
    }
    for (const selector of [".count", ".empty", ".pager"]) {
      const [mine, theirs] = [$(selector, old), $(selector, fresh)];
      if (mine && theirs) { if (mine.innerHTML !== theirs.innerHTML) mine.replaceWith(theirs); }
      else if (theirs) place.before(theirs);
      else mine?.remove();
    }
    old.dataset.pending = fresh.dataset.pending;
    document.title = document.title.replace(/\(\d+\)/, `(${fresh.dataset.pending})`);
    keepTime(fresh);
    tick();
    if (added.length === 1) say(`New: ${$(".title", added[0]).textContent}`);
    else if (added.length) say(`${added.length} new calls wait for a decision.`);
  }

  async function follow(article, address) {
    if (article?.dataset.status !== "pending") return;
    const { status, element } = await part(address, "outcome");
    if (status === 404) settle(article, fault("This approval is no longer yours to see."));
    else if (status === 200 && element.dataset.status !== "pending") settle(article, $(".notice", element));
  }

  // ---- following what happens
  let asked = false, asking = false;
  async function refresh() {
    asked = true;
    if (asking) return;
    asking = true;
    while (asked) {
      asked = false;
      try {
        if (single) await follow($(".item", single), location.pathname);
        if (list()) {
          const { status, element } = await part(location.pathname + location.search, "list");
          $("#fault")?.remove();
          if (status === 200) merge(element);
          else if (element) { element.id = "fault"; list().before(element); }
        }
      } catch { /* the stream tells when the server is back */ }
      await new Promise((done) => { setTimeout(done, 300); });
    }
    asking = false;
  }
  let stream = null;
  function connect() {
    if (document.hidden || stream) return;
    stream = new EventSource("/inbox/events");
    const lamp = (on) => { const live = $("#live"); if (live) live.hidden = !on; };
    stream.addEventListener("changed", refresh);
    stream.onopen = () => lamp(true);
    stream.onerror = () => {
      lamp(false);
      if (stream?.readyState === EventSource.CLOSED) { drop(); refresh(); setTimeout(connect, 5000); }
    };
  }
  function drop() {
    stream?.close();
    stream = null;
  }
  // A browser opens few connections to a server: a tab nobody looks at gives its own back.
  document.addEventListener("visibilitychange", () => { if (document.hidden) drop(); else connect(); });

  // ---- deciding
  async function send(form, submitter) {
    const article = form.closest(".item"), entry = form.closest(".entry");
    $(".problem", form)?.remove();
    const body = new URLSearchParams(new FormData(form, submitter));
    const answer = await part(form.action, "item", { method: "POST", body }).catch(() => ({ element: fault(UNREACHED) }));
    const { status, element } = answer;
    if (status === 200 && element.matches(".outcome")) {
      if (!entry) { location.assign(`/inbox?decided=${encodeURIComponent(article.dataset.id)}`); return; }
      const notice = $(".notice", element);
      for (const earlier of all("main > .notice")) earlier.remove();
      list().before(notice);
      say(notice.firstElementChild.textContent);
      leave(entry);
      tick();
      refresh();
    } else if (status === 409 && element.matches(".item")) {
      settle(article, $(".notice", element));
      tick();
    } else if (element?.matches(".item")) {
      const elsewhere = all(FIELDS, article).filter((field) => field.form !== form && field.id);
      article.replaceWith(element);
      for (const field of elsewhere) {
        const same = document.getElementById(field.id);
        if (same) same.value = field.value;
      }
      tick();
      ($("[aria-invalid]", element) ?? $(".problem", element))?.focus();
    } else {
      form.prepend(element ?? fault(`The server answered ${status}: nothing was decided.`));
      form.firstElementChild.scrollIntoView({ block: "nearest" });
    }
  }
  document.addEventListener("submit", async (event) => {
    const form = event.target;
    if (!form.matches(".item form.decide")) return;
    event.preventDefault();
    if (form.dataset.sending) return;
    form.dataset.sending = "yes";
    await send(form, event.submitter);
    delete form.dataset.sending;
  });

  document.addEventListener("click", (event) => {
    const link = event.target.closest(".entry > .summary");
    if (!link || event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    const entry = link.parentElement;
    if (isOpen(entry)) close(entry); else open(entry);
  });

  // ---- keys: each goes somewhere, none decides
  const help = $("#help");
  $("#keys")?.addEventListener("click", () => help.showModal());
  if ($("#keys")) $("#keys").hidden = false;

  function move(step) {
    const there = entries(), at = there.indexOf(current());
    const to = there[at < 0 ? (step > 0 ? 0 : there.length - 1) : at + step];
    if (to) summary(to).focus();
  }
  async function goTo(key) {
    const entry = current() ?? entries()[0];
    if (!single && !entry) return;
    if (!single) await open(entry);
    const target = $(`[data-key="${key}"]`, single ?? entry);
    if (!target) return;
    if (target.tagName === "DETAILS") target.open = true;
    (target.tagName === "DETAILS" ? $(`${FIELDS}, button`, target) : target).focus();
  }
  function back(target) {
    const choice = target.closest("details.choice[open]"), entry = target.closest(".entry");
    if (choice) { choice.open = false; $("summary", choice).focus(); }
    else if (entry && isOpen(entry)) close(entry);
  }
  document.addEventListener("keydown", (event) => {
    if (event.isComposing || event.ctrlKey || event.metaKey || event.altKey || help?.open) return;
    if (event.key === "Escape") { back(event.target); return; }
    if (event.key === "Enter" && event.target.matches("form.decide input")) {
      event.preventDefault(); // a line that is typed to its end decides nothing yet
      $("button", event.target.form).focus();
    }
    if (event.target.closest("input, textarea, select")) return;
    const act = {
      j: () => move(1), k: () => move(-1), "?": () => help?.showModal(),
      a: () => goTo("a"), e: () => goTo("e"), r: () => goTo("r"), c: () => goTo("c"),
    }[event.key];
    if (!act || !(list() || single)) return;
    event.preventDefault();
    act();
  });

  keepTime(list() ?? single);
  tick();
  setInterval(tick, 1000);
  if (list() || single) connect();
})();
