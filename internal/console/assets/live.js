// What comes by server-sent events. live reads those of an address for as long as
// somebody sees the page: to one server a browser has six connections (HTTP/1.1), and what
// is live holds one. A page that is seen again, also by Back, goes on behind the last event
// that it had. It is read by fetch and not by EventSource, which can neither say where to
// begin nor tell why it was refused.
const live = (() => {
  'use strict';
  const silence = 50000; // after which a connection is dead: the server says something every 15 seconds
  const patience = 5000; // for an answer
  const soonest = 500, latest = 30000; // until it is tried again
  const reasons = {
    401: 'you are signed out; load the page again to sign in',
    403: 'you may not see this any more',
    404: 'there is no such function any more',
    windows_limited: 'too many windows of the console are open',
    streams_limited: 'too many streams of the project are open',
  };

  let seen = document.visibilityState === 'visible';
  let back = false; // the page was left, and is shown as it was
  const all = new Set();
  const turn = (now) => {
    seen = now;
    all.forEach((one) => one());
  };
  document.addEventListener('visibilitychange', () => turn(document.visibilityState === 'visible'));
  addEventListener('pagehide', () => turn(false));
  addEventListener('pageshow', (e) => {
    back ||= e.persisted;
    turn(document.visibilityState === 'visible');
  });
  addEventListener('focus', () => turn(seen)); // who waits tries at once

  // read takes one connection's events until it ends; it returns what was refused, if it was.
  const read = async (s, connection) => {
    let quiet;
    const heard = () => {
      clearTimeout(quiet);
      quiet = setTimeout(() => connection.abort(), silence);
    };
    const slow = setTimeout(() => s.state('the server does not answer, or too many windows of the console are open'), patience);
    try {
      heard();
      const headers = { Accept: 'text/event-stream' };
      if (s.last) headers['Last-Event-ID'] = s.last;
      const answer = await fetch(s.url, { headers, signal: connection.signal, cache: 'no-store' });
      clearTimeout(slow);
      if (!answer.ok) return { status: answer.status, code: (await answer.json().catch(() => ({}))).code, after: 1000 * answer.headers.get('Retry-After') };
      s.state('');
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      for (let rest = ''; ;) {
        const { value, done } = await reader.read();
        if (done) return null;
        heard();
        const blocks = (rest + value).split('\n\n');
        rest = blocks.pop();
        for (const block of blocks) {
          let id, event, data = '';
          for (const field of block.split('\n')) {
            if (field.startsWith('id: ')) id = field.slice(4);
            else if (field.startsWith('event: ')) event = field.slice(7);
            else if (field.startsWith('data: ')) data += field.slice(6);
          }
          if (event && data) s.told(event, data);
          if (id) s.last = id;
        }
      }
    } finally {
      clearTimeout(slow);
      clearTimeout(quiet);
    }
  };

  // live({ url, last, told, state }) calls told(event, data) for each event behind last,
  // and state with '' when it is live, or with why it is not.
  return (s) => {
    let held = false, over = false, connection = null, wake = () => {};
    const open = () => seen && !held && !over;
    const rest = (ms) => new Promise((done) => {
      wake = done;
      if (ms) setTimeout(done, ms);
    });
    const one = () => {
      if (!open()) connection?.abort();
      wake();
    };
    const run = async () => {
      for (let wait = soonest; !over;) {
        if (!open()) {
          wait = soonest;
          await rest();
          continue;
        }
        const began = performance.now();
        connection = new AbortController();
        const no = await read(s, connection).catch(() => null); // lost, or closed by us
        if (!open()) continue;
        if (no?.status === 401 && back) location.reload(); // it is nobody's to see any more
        s.state(reasons[no?.code] ?? reasons[no?.status] ?? 'connecting again');
        if (performance.now() - began > 10000) wait = soonest;
        await rest(no && reasons[no.status] ? 0 : Math.max(wait, no?.after || 0) * (1 + Math.random() / 4));
        wait = Math.min(2 * wait, latest);
      }
    };
    all.add(one);
    run();
    return {
      hold: (on) => { held = on; one(); },
      end: () => { over = true; all.delete(one); one(); },
    };
  };
})();
