package main_test

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"postern.dev/postern/internal/api"
)

const (
	pictures     = "../../docs/console"
	mostPictures = 4 << 20 // bytes of all of them
	tallest      = 1800    // pixels of a page that its picture shows
)

// pictureOf is the name of the picture of pages of a kind; empty for those that need
// none, because they differ from another one in what is asked for alone.
func pictureOf(u *url.URL) string {
	kind, query, _ := strings.Cut(kindOf(u), "?")
	_, name, _ := strings.Cut(kind, "/p/*/")
	if name == "" {
		_, name, _ = strings.Cut(kind, "/console/")
	}
	if query != "" || name == "" {
		return ""
	}
	return strings.NewReplacer("/", "-", "*", "one").Replace(name)
}

// settled takes from a page what is another in each run: IDs, hashes, secrets and
// addresses become the first, second and so on of their sort.
const settledScript = `(() => {
	const sorts = [[/\b(pak|prj|req|dep|usr|evt)_[0-9a-z]{20,26}\b/g, (m, n) => m.slice(0, 4) + '01k7z5' + String(n).padStart(2, '0') + 'qv0m4xw9rh2ta6ce8d'], [/\bfn-[0-9a-z]{26}\b/g, (m, n) => 'fn-01k7z5' + String(n).padStart(2, '0') + 'qv0m4xw9rh2ta6ce8d'],
		[/\/tmp\/\S*\/data\b/g, () => '/var/lib/postern'], [/\bpsk_[0-9A-Za-z]{49}\b/g, () => 'psk_4TqXw8Zr0aVbN2mJc6LyKd9sEhUf1gPiRo3tBx7QvWzA5nGuC'], [/\b[0-9a-f]{64}\b/g, (m, n) => (n + '3a91c04be7d25f68').repeat(4).slice(0, 64)],
		[/\bhttps?:\/\/([a-z0-9-]+)\.localhost:\d+/g, (m) => m.replace(/^https?:/, 'https:').replace(/\.localhost:\d+/, '.functions.example')], [/\bhttps?:\/\/(127\.0\.0\.1|localhost):\d+/g, (m) => m === GATEWAY ? 'https://functions.example' : 'https://postern.example'], [/\b127\.0\.0\.1(:\d+)?\b/g, () => '203.0.113.7']];
	const known = new Map();
	const counts = sorts.map(() => ({}));
	const settle = (text) => sorts.reduce((t, [pattern, name], i) => t.replace(pattern, (m) => {
		if (!known.has(m)) { const sort = m.slice(0, 4); known.set(m, name(m, counts[i][sort] = (counts[i][sort] ?? 0) + 1)); }
		return known.get(m);
	}), text);
	const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	while (walk.nextNode()) { const t = settle(walk.currentNode.data); if (t !== walk.currentNode.data) walk.currentNode.data = t; }
	for (const e of document.querySelectorAll('input, textarea')) { const t = settle(e.value); if (t !== e.value) e.value = t; }
	document.activeElement?.blur();
	return String(Math.ceil(document.documentElement.getBoundingClientRect().height));
})()`

// picture writes what the tab shows into a file of few colours.
func (b *tab) picture(h *hall, s screen, name string) {
	b.Helper()
	b.eval(strings.ReplaceAll(settledScript, "GATEWAY", quoted(h.gateway)))
	height, err := chromedp.Run(b.ctx, chromedp.Evaluate[float64]("document.documentElement.getBoundingClientRect().height"))
	if err != nil {
		b.Fatal(err)
	}
	shot, err := chromedp.Call(b.ctx, page.CaptureScreenshot, page.CaptureScreenshotParams{Format: page.CaptureScreenshotFormatPng, CaptureBeyondViewport: new(true),
		Clip: &page.Viewport{Width: float64(s.width), Height: min(max(height, float64(s.height)), tallest), Scale: 1}})
	if err != nil {
		b.Fatal(err)
	}
	b.writePicture(name, shot.Data)
}

func (b *tab) writePicture(name string, data []byte) {
	b.Helper()
	in, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		b.Fatal(err)
	}
	var out bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&out, fewColours(in)); err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(os.Getenv("SCREENSHOTS"), name+".png"), out.Bytes(), 0o644); err != nil {
		b.Fatal(err)
	}
}

// fewColours is a picture with the 256 colours that it has most of, the others being
// the nearest of these. Of a page that takes away a little of its text's smoothing.
func fewColours(in image.Image) *image.Paletted {
	count := map[color.RGBA]int{}
	at := func(x, y int) color.RGBA { return color.RGBAModel.Convert(in.At(x, y)).(color.RGBA) }
	r := in.Bounds()
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			count[at(x, y)]++
		}
	}
	list := slices.SortedFunc(maps.Keys(count), func(a, b color.RGBA) int {
		if count[a] != count[b] {
			return count[b] - count[a]
		}
		return int(a.R)<<16 + int(a.G)<<8 + int(a.B) - int(b.R)<<16 - int(b.G)<<8 - int(b.B)
	})
	var palette color.Palette
	for _, c := range list[:min(256, len(list))] {
		palette = append(palette, c)
	}
	place := map[color.RGBA]uint8{}
	for c := range count {
		place[c] = uint8(palette.Index(c))
	}
	out := image.NewPaletted(r, palette)
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			out.SetColorIndex(x, y, place[at(x, y)])
		}
	}
	return out
}

// main pages have pictures of a phone and in the dark beside.
var mainPages = []string{"functions", "functions-one", "functions-one-logs", "keys", "gateway-matrix", "usage"}

// TestConsole_Pictures makes the pictures in the directory that SCREENSHOTS names, if it
// names one (make screenshots: docs/console), and holds them together with the page that shows them. That each
// page has one, [TestConsole_Pages] says.
func TestConsole_Pictures(t *testing.T) {
	t.Parallel()
	if os.Getenv("SCREENSHOTS") != "" {
		h := newHall(t)
		h.shop()
		h.pictures()
	}
	shown, err := os.ReadFile("../../docs/console.md")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(pictures + "/*.png")
	if err != nil || len(files) == 0 {
		t.Fatalf("no pictures: %v", err)
	}
	var bytes int64
	for _, f := range files {
		info, err := os.Stat(f)
		if err != nil {
			t.Fatal(err)
		}
		bytes += info.Size()
	}
	if bytes > mostPictures {
		t.Errorf("the pictures have %d bytes, more than %d", bytes, mostPictures)
	}
	for _, name := range mainPages {
		if !strings.Contains(string(shown), "(console/"+name+".png)") {
			t.Errorf("docs/console.md does not show console/%s.png", name)
		}
	}
}

// pictures takes one of each page.
func (h *hall) pictures() {
	h.Helper()
	cookie := h.signedIn()
	desk, phone := newTab(h.T).on(screens[0]), newTab(h.T).on(screens[1])
	phone.carries(h, cookie)
	desk.opens(h.control + "/console/signin")
	desk.picture(h, screens[0], "signin")
	desk.opens(h.control + "/console/setup")
	desk.picture(h, screens[0], "setup")
	for _, name := range []string{"ada", "grace@shop.example"} {
		_, err := h.api.CreateUser(h.Context(), api.CreateUserRequest{Name: name, Password: "four words nobody knows"})
		h.ok(err)
	}
	h.stepsPictures(desk, cookie)
	done := map[string]bool{}
	for _, path := range h.pages(cookie) {
		u, err := url.Parse(path)
		h.ok(err)
		name := pictureOf(u)
		if name == "" || done[name] {
			continue
		}
		done[name] = true
		desk.opens(h.control + path)
		desk.picture(h, screens[0], name)
		if !slices.Contains(mainPages, name) {
			continue
		}
		desk.scheme("dark")
		desk.picture(h, screens[0], name+"-dark")
		desk.scheme("light")
		phone.opens(h.control + path)
		phone.picture(h, screens[1], name+"-phone")
	}
}

// stepsPictures are of what a page answers to its form.
func (h *hall) stepsPictures(desk *tab, cookie string) {
	h.Helper()
	p := &hand{desk.carries(h, cookie), h, screens[0]}
	p.to("keys/new")
	p.types("displayName", "Mobile app 3.2")
	p.press("Confirm")
	p.sees("/keys/new", "will not be shown again")
	desk.picture(h, screens[0], "keys-made")
	p.to("gateway/policy")
	p.eval("(() => { const e = document.getElementById('document'); e.value = e.value.replace('functions:', 'functions:\\n  stock:\\n    rule: { rate: 20/s by address }'); return ''; })()")
	p.press("See what it changes")
	p.sees("/policy", "What it changes")
	desk.picture(h, screens[0], "gateway-policy-preview")
}
