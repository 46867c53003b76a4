// Charts of what a function did: an element with data-chart, the address of the
// figures, and data-shows, "calls" or "latency". They are read again when console.js
// says that something has changed. Beside each there is a table of the same figures.
(() => {
  'use strict';
  const shows = {
    calls: [['2xx', 'successes', '--one'], ['3xx', 'redirects', '--two'], ['4xx', 'clientErrors', '--three'], ['5xx', 'serverErrors', '--four'], ['refused', 'refused', '--five'], ['cut off', 'cutOff', '--edge']],
    latency: [['p50', 'p50Ms', '--one'], ['p90', 'p90Ms', '--two'], ['p99', 'p99Ms', '--four']],
  };
  const spans = { '15m': 15 * 60, '24h': 24 * 3600 };
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  // Charts of one address are drawn from one answer.
  const asked = new Map();
  const figures = (url) => {
    if (!asked.has(url)) {
      asked.set(url, fetch(url, { headers: { Accept: 'application/json' } })
        .then((res) => (res.ok ? res.json() : Promise.reject(new Error(res.statusText))))
        .finally(() => asked.delete(url)));
    }
    return asked.get(url);
  };

  const columns = (traffic, kind) => [traffic.points.map((p) => Date.parse(p.time) / 1000),
    ...shows[kind].map(([, field]) => traffic.points.map((p) => p[field] ?? (kind === 'calls' ? 0 : null)))];

  // Classes lie upon each other: a series is drawn from the top of the one before.
  const stacked = ([times, ...rows]) => {
    const sums = [];
    rows.forEach((row, i) => sums.push(row.map((n, at) => n + (i ? sums[i - 1][at] : 0))));
    return [times, ...sums];
  };
  const bands = (kind) => (kind === 'calls' ? shows.calls.slice(1).map((s, i) => ({ series: [i + 2, i + 1] })) : []);

  const draw = (box) => {
    const kind = box.dataset.shows;
    let chart, rows, traffic;
    const number = (n) => (n == null ? '–' : n.toLocaleString('en', { maximumFractionDigits: n < 10 ? 1 : 0 }));
    const options = () => ({
      width: Math.max(box.clientWidth, 200), height: 220,
      cursor: { sync: { key: 'traffic' }, drag: { x: false, y: false } },
      tzDate: (at) => uPlot.tzDate(new Date(at * 1000), 'UTC'),
      scales: { x: { range: () => { const end = Date.now() / 1000; return [end - spans[traffic.window], end]; } }, y: { range: (u, least, most) => [0, Math.max(most || 0, 1) * 1.05] } },
      bands: bands(kind),
      axes: [
        { values: (u, list) => list.map((at) => new Date(at * 1000).toISOString().slice(11, 16)), space: 60, stroke: colour('--soft'), grid: { stroke: colour('--line'), width: 1 }, ticks: { stroke: colour('--line'), width: 1 } },
        { stroke: colour('--soft'), grid: { stroke: colour('--line'), width: 1 }, ticks: { show: false }, size: 56, values: (u, list) => list.map(number), incrs: kind === 'calls' ? [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 1e6] : undefined },
      ],
      series: [{ label: 'UTC', value: (u, at) => (at == null ? '–' : new Date(at * 1000).toISOString().slice(11, 19)) },
        ...shows[kind].map(([label, , name], i) => ({
          label, stroke: colour(name), width: kind === 'calls' ? 0 : 2, fill: kind === 'calls' ? colour(name) : undefined, points: { show: kind === 'latency', size: 5, fill: colour(name) }, spanGaps: false,
          paths: kind === 'calls' ? uPlot.paths.stepped({ align: 1 }) : undefined, value: (u, v, si, at) => (at == null ? '–' : number(rows[i + 1][at])),
        }))],
    });
    const data = () => (kind === 'calls' ? stacked(rows) : rows);
    const anew = () => {
      if (!traffic) return;
      chart?.destroy();
      box.replaceChildren();
      chart = new uPlot(options(), data(), box);
    };
    const read = async () => {
      try {
        traffic = await figures(box.dataset.chart);
        rows = columns(traffic, kind);
        if (chart) chart.setData(data());
        else anew();
      } catch {
        if (!chart) box.textContent = 'The figures cannot be had at the moment. Load the page again.';
      }
    };
    box.addEventListener('changed', read);
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', anew);
    new ResizeObserver(() => chart?.setSize({ width: Math.max(box.clientWidth, 200), height: 220 })).observe(box);
    read();
  };
  document.querySelectorAll('[data-chart]').forEach(draw);
})();
