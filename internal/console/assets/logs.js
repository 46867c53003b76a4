// Live logs and requests: [data-stream] is the address of a stream of server-sent events,
// data-last the event to go on behind.
//
// However much comes, the page stays as it is asked for: what was read waits in a queue of
// a fixed length, each frame of the screen takes some of it, and what has no room is counted
// and said. Text becomes text nodes and nothing else.
(() => {
  'use strict';
  const most = { log: 500, calls: 200 }; // rows in the page
  const waiting = 1000; // events in the queue
  const batch = 150; // of them taken in one frame
  const breath = 2; // times as long as a frame took nothing is done, so that most of the time is the reader's
  const longest = 8192; // characters of a line
  const unseen = /[\p{Cc}\p{Cf}\p{Co}\p{Zl}\p{Zp}\ufffd]/gu;
  const plain = (s) => {
    const text = String(s ?? '');
    const shown = text.length > longest ? text.slice(0, longest) + '… (' + (text.length - longest) + ' more characters)' : text;
    return shown.replace(unseen, (c) => (c === '\n' || c === '\t' ? c : '␦'));
  };
  const make = (name, text, attributes) => {
    const e = document.createElement(name);
    if (text !== undefined) e.textContent = text;
    for (const [k, v] of Object.entries(attributes ?? {})) e.setAttribute(k, v);
    return e;
  };
  const months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
  const own = (url) => url.replace(/^[a-z]+:\/\/[^/]*/, '');
  const count = (n) => n.toLocaleString('en');
  const took = (ms) => (ms < 10 ? ms.toFixed(1) + ' ms' : ms < 10000 ? ms.toFixed(0) + ' ms' : (ms / 1000).toFixed(1) + ' s');

  // The rows, as the templates make them.
  const line = (event, e, requests) => {
    const call = event === 'request';
    const row = make('li', undefined, { class: ['debug', 'info', 'warning', 'error'].includes(e.level) ? e.level : 'info' });
    row.append(make('time', e.time.slice(11, 23), { datetime: e.time }), ' ', make('span', e.level, { class: 'level' }), ' ');
    if (e.requestId) row.append(make('a', e.requestId, { href: requests + encodeURIComponent(e.requestId) }), ' ');
    row.append(make('span', plain(call ? `${e.request.method} ${own(e.request.url)} answered ${e.response.status} in ${e.executionTimeMs.toFixed(1)} ms${e.code ? ': ' + e.code : ''}` : e.text), { class: 'said' }));
    return row;
  };
  const call = (e, requests) => {
    const row = make('tr', undefined, { class: 'new' });
    const cell = (name, ...content) => { const td = make('td', undefined, { 'data-name': name }); const all = make('span'); all.append(...content); td.append(all); row.append(td); return all; };
    const at = e.request.time;
    cell('Time', make('time', Number(at.slice(8, 10)) + ' ' + months[at.slice(5, 7) - 1] + ' ' + at.slice(11, 19), { datetime: at, title: at.slice(0, 19).replace('T', ' ') + ' UTC' })).parentElement.className = 'keep';
    const head = make('th', undefined, { scope: 'row' });
    const link = make('a', undefined, { href: requests + encodeURIComponent(e.requestId) });
    link.append(make('code', plain(e.request.method + ' ' + own(e.request.url))));
    head.append(link);
    row.append(head);
    const status = e.response.status;
    const told = cell('Status', make('span', String(status), { class: 'tag ' + (status >= 500 ? 'bad' : status >= 400 ? 'warn' : 'good') }));
    if (e.code) told.append(' ', make('span', plain(e.code), { class: 'soft' }));
    cell('Who', !e.request.auth || e.request.auth === 'none' ? make('span', 'nobody recognised', { class: 'soft' }) : plain(e.request.auth));
    const time = cell('Took', took(e.executionTimeMs));
    time.parentElement.className = 'num';
    if (e.coldStart) time.append(' ', make('span', 'cold', { class: 'tag' }));
    return row;
  };

  // show keeps one list live until it is taken out of the page.
  const show = (list) => {
    const isLog = list.tagName === 'OL';
    const part = list.closest('#part');
    const controls = part.querySelector('[data-log-controls]');
    const state = controls.querySelector('[data-log-state]');
    const pause = controls.querySelector('[data-log-pause]');
    const follow = controls.querySelector('[data-log-follow]');
    const empty = part.querySelector('[data-log-empty]');
    const box = part.querySelector('[data-log-list]'); // hidden while it has nothing
    let queue = [];
    let skipped = 0;
    let asked = false; // for a frame
    let idleUntil = 0;
    let following = true;
    let paused = false;
    controls.hidden = false;
    const say = (text) => { if (state.textContent !== text) state.textContent = text; };

    const add = (e) => {
      queue.push(e);
      if (queue.length > waiting) {
        const gone = queue.length - waiting / 2; // many at once: taking one off the front each time costs more than showing it
        queue = queue.slice(gone);
        skipped += gone;
      }
      soon();
    };
    const notice = (text) => (isLog ? make('li', text, { class: 'skipped' }) : (() => {
      const row = make('tr');
      row.append(make('td', text, { colspan: '5', class: 'skipped' }));
      return row;
    })());
    const soon = () => {
      if (asked) return;
      asked = true;
      setTimeout(() => requestAnimationFrame(render), Math.max(0, idleUntil - performance.now()));
    };
    const render = () => {
      const began = performance.now();
      asked = false;
      if (!list.isConnected) return;
      if (empty) empty.hidden = true;
      box.hidden = false;
      const some = queue.splice(0, batch);
      const rows = document.createDocumentFragment();
      const put = (row) => (isLog ? rows.append(row) : rows.prepend(row));
      if (skipped) {
        put(notice(`${count(skipped)} ${isLog ? 'lines' : 'requests'} skipped: they come faster than a page shows them; search or choose a level to see fewer`));
        skipped = 0;
      }
      for (const [event, data] of some) {
        const e = JSON.parse(data);
        put(event === 'lost' ? notice(plain(e.text)) : isLog ? line(event, e, list.dataset.requests) : call(e, list.dataset.requests));
      }
      if (isLog) list.append(rows); else list.prepend(rows);
      const over = list.childElementCount - (isLog ? most.log : most.calls);
      for (let i = 0; i < over; i++) (isLog ? list.firstElementChild : list.lastElementChild).remove();
      if (isLog && following) list.scrollTop = list.scrollHeight;
      idleUntil = performance.now() + breath * (performance.now() - began);
      if (queue.length) soon();
    };

    const stream = live({
      url: list.dataset.stream,
      last: list.dataset.last,
      told: (event, data) => add([event, data]),
      state: (why) => { if (!paused) say(why ? 'Not live: ' + why : 'Live'); },
    });

    pause.addEventListener('click', () => {
      paused = !paused;
      pause.textContent = paused ? 'Go on' : 'Pause';
      say(paused ? 'Paused' : 'Going on…');
      stream.hold(paused); // nobody holds anything for this page: it goes on behind the last that it was told
    });
    if (isLog) {
      list.scrollTop = list.scrollHeight;
      list.addEventListener('scroll', () => {
        following = list.scrollTop + list.clientHeight > list.scrollHeight - 40;
        follow.hidden = following;
      }, { passive: true });
      follow.addEventListener('click', () => { following = true; list.scrollTop = list.scrollHeight; list.focus(); });
    }
    ends.push(stream.end);
  };

  let ends = [];
  const begin = () => {
    ends.forEach((end) => end());
    ends = [];
    document.querySelectorAll('[data-stream]').forEach(show);
  };
  document.body.addEventListener('htmx:afterSwap', (e) => { if (e.target.id === 'part' || e.detail.target.id === 'part') begin(); });
  begin();
})();
