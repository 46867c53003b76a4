// Adds what happens to the page that is open. Without it the page is complete as of
// when it was loaded. What comes is made and escaped by the server.
(() => {
  'use strict';
  const main = document.querySelector('main');
  const list = document.querySelector('[data-live]');
  const state = document.querySelector('#state');
  const most = 200;
  document.querySelector('nav [aria-current]')?.scrollIntoView({ block: 'nearest', inline: 'center' });
  const rows = (html) => {
    const t = document.createElement('template');
    t.innerHTML = html;
    return t.content;
  };
  const trim = (newestFirst) => {
    while (list.children.length > most) (newestFirst ? list.lastElementChild : list.firstElementChild).remove();
  };
  const source = new EventSource('/_postern/events?after=' + encodeURIComponent(main.dataset.last));
  source.addEventListener('open', () => document.body.classList.add('live'));
  source.addEventListener('error', () => document.body.classList.remove('live'));
  source.addEventListener('build', (e) => state.replaceChildren(rows(e.data)));
  source.addEventListener(list ? list.dataset.live : 'none', (e) => {
    document.querySelector('#empty')?.remove();
    const newestFirst = list.dataset.live === 'request';
    const low = innerHeight + scrollY >= document.body.scrollHeight - 40;
    list[newestFirst ? 'prepend' : 'append'](rows(e.data));
    trim(newestFirst);
    if (!newestFirst && low) scrollTo(0, document.body.scrollHeight);
  });
  document.querySelectorAll('select[data-samples]').forEach((s) => s.addEventListener('change', () => {
    const chosen = s.selectedOptions[0].dataset, f = s.form;
    f.elements.header.value = chosen.header;
    f.elements.body.value = chosen.body;
  }));
  addEventListener('pagehide', () => source.close());
})();
