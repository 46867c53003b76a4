package gateway

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/function"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/supervisor"
)

var (
	errNoFiles      = fault.New(fault.Unavailable, "this server keeps no files of functions")
	errPrecondition = fault.New(fault.Conflict, "the file is not the version that If-Match names").WithCode("precondition_failed")
	errRange        = fault.New(fault.Invalid, "the file has none of the bytes that Range names").WithCode("range_not_satisfiable")
)

// sendFile is steps 6 and 7 of a file, which needs no worker: all that is not
// its bytes is known from the snapshot. Its version is its content, so there is
// a strong ETag and no time (RFC 9110 §8.8).
func (g *Gateway) sendFile(x *exchange) error {
	x.enter(stepInvoke)
	if !g.snapshot.Load().byID[x.target.function.ID].runs(x.target.deployment.ID) {
		return supervisor.ErrRetired // its files may be gone
	}
	f := x.match.Handler.File
	h := x.w.Header()
	h["X-Request-Id"] = []string{x.id}
	g.decorate(x, h)
	g.keep(x, h)
	if to := x.insideOf(); to != "" {
		h["Location"] = []string{to}
		x.head(http.StatusTemporaryRedirect)
		return nil
	}
	etag := `"` + f.Hash[:min(32, len(f.Hash))] + `"`
	h["Etag"] = []string{etag}
	if list := x.r.Header["If-Match"]; len(list) > 0 && !matches(list, etag, false) {
		return errPrecondition
	}
	if list := x.r.Header["If-None-Match"]; len(list) > 0 && matches(list, etag, true) {
		x.head(http.StatusNotModified)
		return nil
	}
	h["Accept-Ranges"] = []string{"bytes"}
	ranges, err := x.ranges(etag, f.Size)
	if err != nil {
		h["Content-Range"] = []string{"bytes */" + strconv.FormatInt(f.Size, 10)}
		return err
	}
	h["X-Content-Type-Options"] = []string{"nosniff"}
	return g.sendRanges(x, f, ranges)
}

// keep says how long the file may be kept: until it is asked for again, which
// costs a 304 of this process. What is guarded is for the caller alone.
func (g *Gateway) keep(x *exchange, h http.Header) {
	x.keepSession(h)
	switch {
	case len(h["Cache-Control"]) > 0:
	case x.match.Guard == platform.GuardOpen:
		h["Cache-Control"] = []string{"no-cache"}
	default:
		h["Cache-Control"] = []string{"private, no-cache"}
	}
}

// head answers without a body.
func (x *exchange) head(status int) {
	x.started, x.status = true, status
	x.w.WriteHeader(status)
}

// insideOf is where to go for an index.html that was asked for without the
// slash at its directory's end: links in it would lead beside it. It is relative
// to the path as it was sent, so that whatever stands before it stays.
func (x *exchange) insideOf() string {
	path, _, _ := strings.Cut(x.r.RequestURI, "?")
	if strings.HasSuffix(path, "/") || !strings.HasPrefix(path, "/") || strings.HasSuffix(x.own, "/index.html") || !strings.HasSuffix(x.match.Handler.Name, "/index.html") {
		return ""
	}
	to := "./" + (&url.URL{Path: x.path[strings.LastIndexByte(x.path, '/')+1:]}).EscapedPath() + "/"
	if x.query != "" {
		to += "?" + x.query
	}
	return to
}

// matches reports whether one of the listed tags is the file's (RFC 9110
// §8.8.3.2). Ours are strong, and have neither quotes nor commas inside.
func matches(lines []string, etag string, weak bool) bool {
	for _, line := range lines {
		for tag := range strings.SplitSeq(line, ",") {
			tag = strings.Trim(tag, " \t")
			if weak {
				tag = strings.TrimPrefix(tag, "W/")
			}
			if tag == etag || tag == "*" {
				return true
			}
		}
	}
	return false
}

// span is some bytes of a file: from, and how many.
type span struct{ at, n int64 }

func (s span) of(size int64) string {
	return fmt.Sprintf("bytes %d-%d/%d", s.at, s.at+s.n-1, size)
}

// maxRanges bounds what one request can ask for one by one.
const maxRanges = 16

// ranges are those of the request that the file has; none: all of it. More
// than a few, and those that come to more than the file, are not taken up:
// nobody needs them but who wants work done (RFC 9110 §14.2).
func (x *exchange) ranges(etag string, size int64) ([]span, error) {
	lines := x.r.Header["Range"]
	if x.r.Method != http.MethodGet || len(lines) != 1 || size == 0 {
		return nil, nil
	}
	if only := x.r.Header["If-Range"]; len(only) > 1 || len(only) == 1 && only[0] != etag {
		return nil, nil // of another version, or by a time, of which there is none
	}
	unit, list, _ := strings.Cut(lines[0], "=")
	if !strings.EqualFold(unit, "bytes") || strings.Count(list, ",") >= maxRanges {
		return nil, nil
	}
	var out []span
	var sum int64
	for text := range strings.SplitSeq(list, ",") {
		s, ok := parseSpan(strings.Trim(text, " \t"), size)
		if !ok {
			return nil, nil // it does not parse
		}
		if s.n > 0 {
			out = append(out, s)
			sum += s.n
		}
	}
	if len(out) == 0 {
		return nil, errRange
	}
	if sum > size {
		return nil, nil
	}
	return out, nil
}

// parseSpan reads one range: "0-99", "100-", "-100". It is empty where the file
// has nothing of it.
func parseSpan(text string, size int64) (span, bool) {
	first, last, ok := strings.Cut(text, "-")
	from, ok1 := position(first)
	to, ok2 := position(last)
	switch {
	case !ok || !ok1 || !ok2 || first == "" && last == "":
		return span{}, false
	case first == "":
		n := min(to, size)
		return span{size - n, n}, true
	case last == "":
		to = size - 1
	case to < from:
		return span{}, false
	}
	if from >= size {
		return span{}, true
	}
	return span{from, min(to, size-1) - from + 1}, true
}

// position reads digits; those of more than any file has are the largest number.
func position(digits string) (int64, bool) {
	if strings.Trim(digits, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	return n, err == nil || digits == "" || errors.Is(err, strconv.ErrRange)
}

// slowest is how few bytes a second are waited for.
const slowest = 32 << 10

// sendRanges sends the file, or the spans of it.
func (g *Gateway) sendRanges(x *exchange, f *platform.File, spans []span) error {
	h := x.w.Header()
	kind := fileType(x.match.Handler.Name)
	boundary := ""
	status, n := http.StatusPartialContent, f.Size
	switch len(spans) {
	case 0:
		status, spans = http.StatusOK, []span{{0, f.Size}}
	case 1:
		n = spans[0].n
		h["Content-Range"] = []string{spans[0].of(f.Size)}
	default:
		var count counter
		boundary = parts(&count, nil, "", spans, f.Size, kind)
		n = int64(count)
		kind = "multipart/byteranges; boundary=" + boundary
	}
	h["Content-Type"], h["Content-Length"] = []string{kind}, []string{strconv.FormatInt(n, 10)}
	if x.r.Method == http.MethodHead {
		x.head(status)
		return nil
	}
	file, err := g.open(x)
	if err != nil {
		clear(h)
		return err
	}
	defer file.Close()
	if wait := time.Duration(n/slowest) * time.Second; wait > ownDeadline {
		http.NewResponseController(x.w).SetWriteDeadline(time.Now().Add(wait + slack))
	}
	x.head(status)
	if boundary == "" {
		if _, err = file.Seek(spans[0].at, io.SeekStart); err == nil {
			x.sent, err = io.CopyN(x.w, file, spans[0].n)
		}
	} else {
		out := &sender{w: x.w}
		parts(out, file, boundary, spans, f.Size, fileType(x.match.Handler.Name))
		x.sent, err = out.n, out.err
	}
	if _, ok := errors.AsType[*fs.PathError](err); ok || err == io.EOF {
		return fmt.Errorf("send %s: %w", x.match.Handler.Name, err)
	}
	return nil // a caller who went away is no failure of ours
}

func (g *Gateway) open(x *exchange) (*os.File, error) {
	if g.options.Files == nil {
		return nil, errNoFiles
	}
	f, err := g.options.Files.OpenFile(x.r.Context(), x.target.deployment, x.match.Handler.Name)
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err != nil || info.Size() != x.match.Handler.File.Size {
		f.Close()
		return nil, fmt.Errorf("%s is not as it was deployed", x.match.Handler.Name)
	}
	return f, nil
}

// parts writes spans as multipart/byteranges (RFC 9110 §14.6), without a file
// zeros, to learn how long it is. It returns the boundary.
func parts(to io.Writer, file *os.File, boundary string, spans []span, size int64, kind string) string {
	m := multipart.NewWriter(to)
	if boundary != "" {
		m.SetBoundary(boundary)
	}
	for _, s := range spans {
		w, err := m.CreatePart(textproto.MIMEHeader{"Content-Range": {s.of(size)}, "Content-Type": {kind}})
		switch {
		case err != nil:
			return ""
		case file == nil:
			*to.(*counter) += counter(s.n)
		default:
			if _, err := io.Copy(w, io.NewSectionReader(file, s.at, s.n)); err != nil {
				return ""
			}
		}
	}
	m.Close()
	return m.Boundary()
}

type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

// sender counts what went out, and keeps the first error.
type sender struct {
	w   io.Writer
	n   int64
	err error
}

func (s *sender) Write(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	n, err := s.w.Write(p)
	s.n, s.err = s.n+int64(n), err
	return n, err
}

// fileType is what a file is by its name; nothing is ever read out of its
// content, and what is not known is bytes.
func fileType(name string) string {
	dot := strings.LastIndexByte(name, '.')
	if dot < 0 || strings.HasSuffix(name, function.PublicDir) {
		return octets
	}
	if t, ok := fileTypes[strings.ToLower(name[dot+1:])]; ok {
		return t
	}
	return octets
}

const octets = "application/octet-stream"

// fileTypes are types by the end of a name: no table of the machine is asked, so
// that a file is the same everywhere.
var fileTypes = map[string]string{
	"html": "text/html; charset=utf-8", "htm": "text/html; charset=utf-8", "css": "text/css; charset=utf-8", "txt": "text/plain; charset=utf-8",
	"js": "text/javascript; charset=utf-8", "mjs": "text/javascript; charset=utf-8", "md": "text/markdown; charset=utf-8", "csv": "text/csv; charset=utf-8",
	"vtt": "text/vtt; charset=utf-8", "ics": "text/calendar; charset=utf-8",
	"json": "application/json", "map": "application/json", "webmanifest": "application/manifest+json", "jsonld": "application/ld+json", "geojson": "application/geo+json",
	"xml": "application/xml", "atom": "application/atom+xml", "rss": "application/rss+xml", "xhtml": "application/xhtml+xml", "yaml": "application/yaml", "yml": "application/yaml",
	"wasm": "application/wasm", "pdf": "application/pdf", "zip": "application/zip", "gz": "application/gzip", "rtf": "application/rtf",
	"svg": "image/svg+xml", "png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg", "gif": "image/gif", "webp": "image/webp", "avif": "image/avif", "apng": "image/apng",
	"ico": "image/vnd.microsoft.icon", "bmp": "image/bmp", "tif": "image/tiff", "tiff": "image/tiff",
	"woff": "font/woff", "woff2": "font/woff2", "ttf": "font/ttf", "otf": "font/otf", "eot": "application/vnd.ms-fontobject",
	"mp3": "audio/mpeg", "wav": "audio/wav", "ogg": "audio/ogg", "oga": "audio/ogg", "opus": "audio/ogg", "m4a": "audio/mp4", "aac": "audio/aac", "flac": "audio/flac", "weba": "audio/webm",
	"mp4": "video/mp4", "m4v": "video/mp4", "webm": "video/webm", "ogv": "video/ogg", "mov": "video/quicktime", "m3u8": "application/vnd.apple.mpegurl", "ts": "video/mp2t",
}
