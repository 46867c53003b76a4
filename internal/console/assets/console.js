// What pages do by themselves beside htmx: copy buttons, and parts that are live.
// Without it every page is complete as of when it was loaded, and every form works.
(() => {
  'use strict';
  const body = document.body;
  const project = body.dataset.project;

  // Copy buttons: [data-copy] is the text.
  const ready = (root) => root.querySelectorAll('[data-copy][hidden]').forEach((b) => { b.hidden = !navigator.clipboard; });
  ready(document);
  body.addEventListener('htmx:afterSettle', (e) => ready(e.target));
  body.addEventListener('click', async (e) => {
    const button = e.target.closest('[data-copy]');
    if (!button) return;
    const word = button.firstChild; // the rest says what is copied, to who does not see it
    try {
      await navigator.clipboard.writeText(button.dataset.copy);
      word.data = 'Copied';
    } catch {
      word.data = 'Not copied';
    }
    document.querySelector('[data-said]').textContent = word.data;
    setTimeout(() => { word.data = 'Copy'; }, 1500);
  });

  // The menu of a phone.
  const menu = document.querySelector('details.menu');
  menu?.addEventListener('keydown', (e) => {
    if (e.key !== 'Escape') return;
    menu.open = false;
    menu.firstElementChild.focus();
  });

  // What was fetched because something changed, and not because somebody asked for it.
  const unasked = (e) => e.detail.requestConfig.triggeringEvent?.type === 'changed';

  // htmx sends the token of the forms with what is no form.
  body.addEventListener('htmx:configRequest', (e) => {
    if (body.dataset.csrf) e.detail.headers['X-CSRF-Token'] = body.dataset.csrf;
    if (e.detail.triggeringEvent?.type === 'changed') e.detail.headers['X-Live'] = '1'; // nobody need be there
  });
  // A form's mistakes come with a status of 4xx, and are the page to show.
  body.addEventListener('htmx:beforeSwap', (e) => {
    const kind = e.detail.xhr.getResponseHeader('Content-Type') || '';
    if (e.detail.xhr.status >= 400 && unasked(e)) {
      if (e.detail.xhr.status === 404) location.reload(); // what it showed is gone: the page says so
      return;
    }
    if (e.detail.xhr.status >= 400 && kind.startsWith('text/html')) {
      e.detail.shouldSwap = true;
      e.detail.isError = false;
    }
  });

  // Live parts: an element with data-live="functions keys" is fetched again (its hx-get,
  // with hx-trigger="changed") when something of one of these kinds has changed.
  const parts = () => [...document.querySelectorAll('[data-live]')];
  const sign = document.querySelector('.live');
  const word = document.querySelector('[data-live-word]');
  const tell = (kinds, names) => parts().forEach((p) => {
    const only = p.dataset.liveName;
    const wanted = p.dataset.live.split(' ');
    if (kinds && !wanted.some((k) => kinds.includes(k))) return;
    if (only && names && names.length && !names.includes(only)) return;
    if (p.contains(document.activeElement) && document.activeElement.matches('input, select, textarea')) return;
    p.dispatchEvent(new CustomEvent('changed', { detail: { kinds, names } }));
  });
  // Who is somewhere in a part stays there when it is replaced.
  const stops = (part) => [...part.querySelectorAll('a[href], button, summary, [tabindex]')];
  const leads = (e) => e.getAttribute('href') ?? e.dataset.copy ?? e.textContent;
  const place = (part, index, to) => {
    const all = part ? stops(part) : [];
    const same = all.filter((e) => leads(e) === to);
    return same.find((e) => e === all[index]) ?? same[0] ?? all[Math.min(index, all.length - 1)];
  };
  // What somebody presses is not replaced under their finger: it waits for the click.
  let pressed = null;
  const late = new Set();
  addEventListener('pointerdown', (e) => { pressed = e.target; });
  ['pointerup', 'pointercancel'].forEach((end) => addEventListener(end, () => {
    pressed = null;
    if (late.size) setTimeout(() => { [...late].forEach((id) => document.getElementById(id)?.closest('[data-live]')?.dispatchEvent(new CustomEvent('changed'))); late.clear(); }, 300);
  }));
  let stay = null;
  body.addEventListener('htmx:beforeSwap', (e) => {
    const part = e.detail.target;
    if (pressed && unasked(e) && part.id && part.contains(pressed)) {
      e.detail.shouldSwap = false;
      late.add(part.id);
      return;
    }
    stay = part.id && part.dataset.live && part.contains(document.activeElement) ? [part.id, stops(part).indexOf(document.activeElement), leads(document.activeElement)] : null;
  });
  body.addEventListener('htmx:afterSwap', () => {
    if (stay) place(document.getElementById(stay[0]), stay[1], stay[2])?.focus({ preventScroll: true });
    stay = null;
  });
  if (project && parts().length) {
    sign.hidden = false;
    live({
      url: '/console/api/v1/projects/' + encodeURIComponent(project) + '/events?since=' + encodeURIComponent(body.dataset.since),
      state: (why) => {
        sign.classList.toggle('on', !why);
        word.textContent = why ? 'not live: ' + why : 'live';
      },
      told: (event, data) => {
        if (event === 'resync') tell(null);
        if (event !== 'changed') return;
        const { kind, names } = JSON.parse(data);
        tell([kind], names);
      },
    });
  }
})();
