package worker

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the vectors")

const vectorFile = "testdata/protocol/vectors.jsonl"

// vector is one line of the file that both ends are tested against. A good
// vector of the host is a frame that Go writes and Node reads; a good one of
// the worker is a frame that Node writes and Go reads; a bad one is a frame
// that the reader must refuse.
type vector struct {
	Name    string     `json:"name"`
	From    string     `json:"from"` // host or worker
	Bad     bool       `json:"bad,omitempty"`
	Hex     string     `json:"hex"`
	Stream  uint32     `json:"stream,omitempty"`
	Strings []string   `json:"strings,omitempty"` // of a request block, headers included
	Status  int        `json:"status,omitempty"`
	Headers [][]string `json:"headers,omitempty"`
	Body    string     `json:"body,omitempty"` // hex
}

func requestVector(t *testing.T, name string, r Request) vector {
	t.Helper()
	b, err := appendRequest(nil, 7, &r)
	if err != nil {
		t.Fatal(err)
	}
	tbl, body, err := parseTable(b[headerSize:])
	if err != nil {
		t.Fatal(err)
	}
	v := vector{Name: name, From: "host", Hex: hex.EncodeToString(b), Stream: 7, Body: hex.EncodeToString(body)}
	text := tbl.bytes
	for i := range tbl.count {
		n := int(binary.BigEndian.Uint16(tbl.lengths[2*i:]))
		v.Strings, text = append(v.Strings, string(text[:n])), text[n:]
	}
	return v
}

func responseVector(name string, flags uint8, status uint16, body string, headers ...string) vector {
	p := binary.BigEndian.AppendUint16(nil, status)
	p = binary.BigEndian.AppendUint16(p, uint16(len(headers)))
	for _, h := range headers {
		p = binary.BigEndian.AppendUint16(p, uint16(len(h)))
	}
	p = append(append(p, strings.Join(headers, "")...), body...)
	v := vector{Name: name, From: "worker", Hex: hex.EncodeToString(appendFrame(nil, frameResponse, flags, 3, p)), Stream: 3, Status: int(status), Body: hex.EncodeToString([]byte(body))}
	for i := 0; i < len(headers); i += 2 {
		v.Headers = append(v.Headers, headers[i:i+2])
	}
	return v
}

func bad(name, from string, frame []byte) vector {
	return vector{Name: name, From: from, Bad: true, Hex: hex.EncodeToString(frame)}
}

func header(length uint32, kind frameType, stream uint32) []byte {
	b := binary.BigEndian.AppendUint32(nil, length)
	return binary.BigEndian.AppendUint32(append(b, byte(kind), 0), stream)
}

func makeVectors(t *testing.T) []vector {
	full := Request{ID: "req_1", Method: "POST", Handler: "webhook", Path: "/ä/webhook", Query: "a=1&b=%20", Host: "h:1", ClientIP: "::1", KeyID: "pak_1", ProjectID: "prj_1", AuthMethod: "basic", Scopes: "invoke control",
		Header: map[string][]string{"X-Twice": {"1", "2"}}, Inline: []byte{0, 255, 10}}
	return []vector{
		requestVector(t, "request, smallest", Request{}),
		requestVector(t, "request, every field, not ASCII", full),
		requestVector(t, "request, ASCII with a header", Request{ID: "r", Method: "GET", Handler: "status", Path: "/status", AuthMethod: "none", Header: map[string][]string{"Accept": {"*/*"}}}),
		requestVector(t, "request, stream mode", Request{ID: "r", Handler: "up", Stream: true, Body: bytes.NewReader(nil)}),
		requestVector(t, "request, route without parameters", Request{ID: "r", Method: "GET", Handler: "list", Path: "/customers", AuthMethod: "none", Route: "GET /customers"}),
		requestVector(t, "request, path parameters, not ASCII", Request{ID: "r", Method: "GET", Handler: "one", Path: "/a/é/b/c", AuthMethod: "none", Route: "/a/{x}/{rest...}", Params: []string{"x", "rest"}, Values: []string{"é", "b/c"}, Header: map[string][]string{"Accept": {"*/*"}, ":x": {"forged"}}}),
		requestVector(t, "request, a signed callback", Request{ID: "r", Method: "POST", Handler: "paid", Path: "/paid", AuthMethod: "signature", Route: "POST /{x}", Params: []string{"x"}, Values: []string{"paid"}, Scheme: "stripe", MessageID: "evt_1"}),
		requestVector(t, "request, a callback without an ID", Request{ID: "r", Method: "POST", Handler: "ice", Path: "/ice", AuthMethod: "signature", Scheme: "voice-v1", Header: map[string][]string{"::id": {"forged"}}}),
		requestVector(t, "request, an empty parameter", Request{ID: "r", Method: "GET", Handler: "one", Path: "/", AuthMethod: "none", Route: "/{path...}", Params: []string{"path"}, Values: []string{""}}),
		requestVector(t, "request, somebody else's Authorization", Request{ID: "r", Method: "GET", Handler: "one", Path: "/one", AuthMethod: "none", ForeignAuthorization: true, Header: map[string][]string{"Authorization": {"Bearer a.b.c"}, "X-Api-Key": {"psk_x"}, "Proxy-Authorization": {"x"}}}),
		requestVector(t, "request, of a function, not ASCII", Request{ID: "r", Method: "GET", Handler: "one", Path: "/one", KeyID: "pak_1", ProjectID: "prj_1", AuthMethod: "function", Route: "/{x}", Params: []string{"x"}, Values: []string{"é"},
			Call: &Call{Function: "orders", FunctionID: "fn-1", RequestID: "req_0", Hops: 2}, Header: map[string][]string{"::hops": {"1"}, "X-Postern-Token": {"a.b.c"}, "X-Postern-Hops": {"1"}}}),
		responseVector("response, no body", flagEnd|flagASCII, 204, ""),
		responseVector("response, JSON", flagEnd|flagASCII, 200, `{"a":1}`, "content-type", "application/json"),
		responseVector("response, Latin-1 value", flagEnd, 200, "x", "x-a", "\xe9"),
		responseVector("response, repeated header", flagEnd|flagASCII, 302, "", "set-cookie", "a=1", "set-cookie", "b=2"),
		bad("four gigabytes", "host", header(0xffffffff, frameRequest, 1)),
		bad("a byte over a mebibyte", "host", header(maxPayload+1, frameData, 1)),
		bad("a type of the worker's", "host", header(0, frameResponse, 1)),
		bad("an unknown type", "host", header(0, 99, 0)),
		bad("a request on stream 0", "host", header(0, frameRequest, 0)),
		bad("a ping on a stream", "host", header(8, framePing, 5)),
		bad("a request without a table", "host", appendFrame(nil, frameRequest, 0, 1, []byte{0})),
		bad("a table cut in its lengths", "host", appendFrame(nil, frameRequest, 0, 1, []byte{0, 11, 0, 0})),
		bad("a table cut in its bytes", "host", appendFrame(nil, frameRequest, 0, 1, append([]byte{0, 11, 0, 9}, make([]byte, 20)...))),
		bad("too few strings", "host", appendFrame(nil, frameRequest, 0, 1, append([]byte{0, 10}, make([]byte, 20)...))),
		bad("a header without a value", "host", appendFrame(nil, frameRequest, 0, 1, append([]byte{0, 12}, make([]byte, 24)...))),
		bad("four gigabytes", "worker", header(0xffffffff, frameResponse, 1)),
		bad("a type of the host's", "worker", header(0, frameRequest, 1)),
		bad("an unknown type", "worker", header(0, 0, 0)),
		bad("a response on stream 0", "worker", header(4, frameResponse, 0)),
		bad("a log on a stream", "worker", header(2, frameLog, 1)),
		bad("a response without a status", "worker", appendFrame(nil, frameResponse, flagEnd, 1, []byte{0})),
		bad("status 99", "worker", appendFrame(nil, frameResponse, flagEnd, 1, []byte{0, 99, 0, 0})),
		bad("status 600", "worker", appendFrame(nil, frameResponse, flagEnd, 1, []byte{2, 88, 0, 0})),
		bad("an odd table", "worker", appendFrame(nil, frameResponse, flagEnd, 1, []byte{0, 200, 0, 1, 0, 0})),
		bad("a table cut off", "worker", appendFrame(nil, frameResponse, flagEnd, 1, []byte{0, 200, 0, 2, 0, 4, 0, 4, 'a'})),
	}
}

func readVectors(t *testing.T) []vector {
	t.Helper()
	f, err := os.Open(vectorFile)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out []vector
	for s := bufio.NewScanner(f); s.Scan(); {
		var v vector
		if err := json.Unmarshal(s.Bytes(), &v); err != nil {
			t.Fatal(err)
		}
		out = append(out, v)
	}
	if len(out) < 20 {
		t.Fatalf("only %d vectors", len(out))
	}
	return out
}

func TestVectors(t *testing.T) {
	t.Parallel()
	made := makeVectors(t)
	if *update {
		var b bytes.Buffer
		for _, v := range made {
			line, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			b.Write(append(line, '\n'))
		}
		if err := os.WriteFile(vectorFile, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for i, v := range readVectors(t) {
		if v.Hex != made[i].Hex || v.Name != made[i].Name {
			t.Errorf("%s: what is written has changed: run with -update if the protocol did", v.Name)
		}
		if v.From != "worker" {
			continue
		}
		raw, err := hex.DecodeString(v.Hex)
		if err != nil {
			t.Fatal(err)
		}
		f, length, err := parseHeader(raw)
		if err == nil {
			f.payload = raw[headerSize : headerSize+length]
			var status int
			var headers table
			var body []byte
			status, headers, body, err = parseResponse(f.payload)
			if err == nil && !v.Bad {
				var got [][]string
				headers.each(func(n, value []byte) { got = append(got, []string{string(n), latin1(value)}) })
				if status != v.Status || hex.EncodeToString(body) != v.Body || f.stream != v.Stream || !cmp.Equal(got, v.Headers) {
					t.Errorf("%s: read as %d %v %q", v.Name, status, got, body)
				}
			}
		}
		if v.Bad != (err != nil) || err != nil && !errors.Is(err, errProtocol) {
			t.Errorf("%s: err = %v", v.Name, err)
		}
	}
}

// latin1 is how JSON keeps a byte string.
func latin1(b []byte) string { return strings.ToValidUTF8(string(b), "\ufffd") }

func FuzzParse(f *testing.F) {
	n := 0
	for _, v := range []string{"000000040000", "0004", "00c80000", "00c8000200010001616278"} {
		b, err := hex.DecodeString(v)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		n++
	}
	if n == 0 {
		f.Fatal("no seeds")
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) >= headerSize {
			parseHeader(b)
		}
		if status, headers, body, err := parseResponse(b); err == nil {
			if status < 200 || status > 599 || len(body) > len(b) {
				t.Fatalf("status %d, body of %d in %d bytes", status, len(body), len(b))
			}
			headers.each(func(name, _ []byte) { canonical(name) })
		}
		parseReady(b)
		checkHello(b)
	})
}

func TestReady_Refuses(t *testing.T) {
	t.Parallel()
	for _, in := range []string{``, `{}`, `[]`, `{"auth":null}`, `{"handlers":[],"auth":null}`, `{"handlers":[{"name":"a","kind":"custom"}]}`,
		`{"handlers":[{"name":"a","kind":"magic"}],"auth":null}`, `{"handlers":[{"name":"a","kind":"custom"}],"auth":null,"style":"events"}`, `{"handlers":[{"name":"a","kind":"custom"}],"auth":null,"style":1}`, `{"handlers":[{"name":"b","kind":"custom"},{"name":"a","kind":"custom"}],"auth":null}`,
		`{"handlers":[{"name":"a","kind":"custom"}],"auth":true}`, `{"handlers":[{"name":"a","kind":"custom"}],"auth":"a"}`, `{"handlers":[{"name":"a","kind":"custom"}],"auth":[1]}`, `{"handlers":[{"name":"a","kind":"custom"},{"name":"a","kind":"custom"}],"auth":null}`} {
		if d, err := parseReady([]byte(in)); err == nil {
			t.Errorf("%s is read as %+v", in, d)
		}
	}
	if err := checkHello([]byte("PSTN\x00\x02{}")); err == nil || !strings.Contains(err.Error(), "version 2") {
		t.Errorf("another version: %v", err)
	}
	if err := checkHello([]byte("HTTP/1.1")); !errors.Is(err, errProtocol) {
		t.Errorf("another protocol: %v", err)
	}
}

func TestAppendRequest_TooLarge(t *testing.T) {
	t.Parallel()
	for name, r := range map[string]Request{
		"a value":   {Header: map[string][]string{"X": {strings.Repeat("x", 70000)}}},
		"the whole": {Inline: make([]byte, maxPayload)},
		"too many":  {Header: map[string][]string{"X": make([]string, 40000)}},
	} {
		b, err := appendRequest([]byte("before"), 1, &r)
		if !errors.Is(err, ErrTooLarge) || string(b) != "before" {
			t.Errorf("%s: %v, %d bytes left behind", name, err, len(b))
		}
	}
}

func TestDo_DoesNotAllocateToEncode(t *testing.T) {
	r := Request{ID: "req_0123456789abcdefghij", Method: "GET", Handler: "webhook", Path: "/webhook", Host: "h", Deadline: time.Now(), Route: "GET /{a}", Params: []string{"a"}, Values: []string{"webhook"},
		Header: map[string][]string{"User-Agent": {"x"}, "Accept": {"*/*"}, "Authorization": {"Basic x"}, "X-Custom-Header-Of-Some-Length": {"y"}}}
	buf := make([]byte, 0, 4096)
	if n := testing.AllocsPerRun(100, func() { appendRequest(buf[:0], 1, &r) }); n != 0 {
		t.Errorf("a request is encoded with %v allocations", n)
	}
}

// A worker from before there were routes is sent requests that it can read.
func TestOpen_SendsRoutesToWorkersThatReadThem(t *testing.T) {
	t.Parallel()
	for hello, want := range map[string]bool{`{}`: false, ``: false, `{"features":["route"]}`: true, `{"features":["other","route"]}`: true, `{"features":"route"}`: false, `{"features":[]}`: false} {
		var log []string
		c := inPhase("start", &log)
		if err := c.handle(frame{kind: frameHello, payload: []byte("PSTN\x00\x01" + hello)}); err != nil {
			t.Fatal(err)
		}
		c.buf = nil
		r := Request{ID: "r", Handler: "one", Path: "/7", Route: "/{id}", Params: []string{"id"}, Values: []string{"7"}}
		if err := c.open(&call{done: make(chan struct{}, 1)}, &r); err != nil {
			t.Fatal(err)
		}
		if got := bytes.Contains(c.buf, []byte(":/{id}:id7")); got != want || r.Route == "" {
			t.Errorf("%s: the route was sent: %v", hello, got)
		}
	}
}

// One from before handlers were told of signatures is not.
func TestOpen_TellsOfSignaturesWhoReadsThem(t *testing.T) {
	t.Parallel()
	for hello, want := range map[string][2]bool{`{}`: {}, `{"features":["route"]}`: {true, false}, `{"features":["signature"]}`: {false, true}, `{"features":["route","signature"]}`: {true, true}} {
		var log []string
		c := inPhase("start", &log)
		if err := c.handle(frame{kind: frameHello, payload: []byte("PSTN\x00\x01" + hello)}); err != nil {
			t.Fatal(err)
		}
		c.buf = nil
		r := Request{ID: "r", Handler: "one", Path: "/7", Route: "/{id}", Params: []string{"id"}, Values: []string{"7"}, Scheme: "stripe", MessageID: "evt_1"}
		if err := c.open(&call{done: make(chan struct{}, 1)}, &r); err != nil {
			t.Fatal(err)
		}
		got := [2]bool{bytes.Contains(c.buf, []byte(":/{id}:id7")), bytes.Contains(c.buf, []byte("::schemestripe::idevt_1"))}
		if got != want || r.Scheme == "" {
			t.Errorf("%s: sent are route and signature %v", hello, got)
		}
	}
}

func TestAppendRequest_Authorization(t *testing.T) {
	t.Parallel()
	for name, r := range map[string]Request{
		"ours": {Header: map[string][]string{"Authorization": {"Bearer theirs"}}}, "aliased": {ForeignAuthorization: true, Header: map[string][]string{"Authorization_": {"Bearer theirs"}, "authorization": {"Bearer theirs"}}},
		"of the connection": {ForeignAuthorization: true, Header: map[string][]string{"Authorization": {"Bearer theirs"}, "Connection": {"keep-alive, authorization"}}},
		"of a proxy":        {ForeignAuthorization: true, Header: map[string][]string{"Proxy-Authorization": {"Bearer theirs"}}},
	} {
		b, err := appendRequest(nil, 1, &r)
		if err != nil || bytes.Contains(b, []byte("authorizationBearer theirs")) {
			t.Errorf("%s: sent: %q, %v", name, b, err)
		}
	}
}
