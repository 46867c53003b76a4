package worker

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"postern.dev/postern/internal/platform"
)

// The wire between host and worker: docs/worker-protocol.md. The mirror file
// is runtime/node/src/protocol.ts.
const (
	protocolVersion = 1
	headerSize      = 10
	maxPayload      = 1 << 20
	maxData         = 64 << 10
	windowSize      = 256 << 10
	pingSize        = 8
	magic           = "PSTN"
)

type frameType uint8

const (
	frameHello    frameType = 1
	frameReady    frameType = 2
	frameFail     frameType = 3
	frameDrain    frameType = 4
	framePing     frameType = 5
	framePong     frameType = 6
	frameLog      frameType = 7
	frameToken    frameType = 8
	frameRequest  frameType = 16
	frameResponse frameType = 17
	frameData     frameType = 18
	frameWindow   frameType = 19
	frameReset    frameType = 20
	frameError    frameType = 21
	frameMessage  frameType = 22 // of a WebSocket
	frameClose    frameType = 23
	frameCall     frameType = 32 // from the worker to the host
	frameResult   frameType = 33
)

// ofCall reports whether frames of this type, from a worker, belong to a call or
// to a WebSocket.
func (t frameType) ofCall() bool { return t >= frameResponse && t <= frameClose }

const (
	flagEnd    = 1
	flagASCII  = 2
	flagBinary = 4
)

const (
	resetCancelled     = 0
	resetDeadline      = 1
	resetRefused       = 2
	resetHandlerFailed = 3
	resetFlow          = 4
)

// statusSocket is that of the RESPONSE which takes a WebSocket.
const statusSocket = 101

// requestFields is the number of strings before the headers of a request block.
const requestFields = 11

// errProtocol is wrapped by every complaint about what a worker sent.
var errProtocol = errors.New("worker protocol")

func protocolError(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errProtocol, fmt.Sprintf(format, args...))
}

// frame is one frame as it was read. The payload is valid until the next read.
type frame struct {
	kind    frameType
	flags   uint8
	stream  uint32
	payload []byte
}

// parseHeader reads and checks the header of a frame that a worker sent.
func parseHeader(b []byte) (f frame, length int, err error) {
	size := binary.BigEndian.Uint32(b)
	f = frame{kind: frameType(b[4]), flags: b[5], stream: binary.BigEndian.Uint32(b[6:])}
	if size > maxPayload {
		return f, 0, protocolError("a frame promises %d bytes, more than %d", size, maxPayload)
	}
	streamed := false
	switch f.kind {
	case frameHello, frameReady, frameFail, framePong, frameLog:
	case frameResponse, frameData, frameWindow, frameReset, frameError, frameMessage, frameClose, frameCall:
		streamed = true
	default:
		return f, 0, protocolError("frame type %d is not one that a worker sends", f.kind)
	}
	if streamed != (f.stream > 0) {
		return f, 0, protocolError("frame type %d on stream %d", f.kind, f.stream)
	}
	return f, int(size), nil
}

// appendFrame appends a frame with the given payload.
func appendFrame(b []byte, kind frameType, flags uint8, stream uint32, payload []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(payload)))
	b = append(b, byte(kind), flags)
	b = binary.BigEndian.AppendUint32(b, stream)
	return append(b, payload...)
}

func appendHello(b []byte) []byte {
	payload := append([]byte(magic), 0, protocolVersion)
	payload = fmt.Appendf(payload, `{"maxFrame":%d,"window":%d,"features":["call","socket"]}`, maxPayload, windowSize)
	return appendFrame(b, frameHello, 0, 0, payload)
}

func checkHello(payload []byte) error {
	if len(payload) < len(magic)+2 || string(payload[:len(magic)]) != magic {
		return protocolError("the worker does not speak this protocol")
	}
	if v := binary.BigEndian.Uint16(payload[len(magic):]); v != protocolVersion {
		return &StartError{Code: "version_mismatch", Message: fmt.Sprintf("the worker speaks version %d of the protocol, this server %d", v, protocolVersion)}
	}
	return nil
}

// featureRoute is said by a worker that understands the route and the path
// parameters of a request. One that does not is sent none.
const featureRoute = "route"

// featureSignature is said by a worker that understands how a callback was
// signed. One that does not is not told.
const featureSignature = "signature"

// featureToken is said by a worker that takes a token with which its function
// calls others, and is told who calls where a function does.
const featureToken = "token"

// hasFeature reports whether a worker's HELLO, which was checked, names a
// feature. Workers from before there were any name none.
func hasFeature(hello []byte, feature string) bool {
	var said struct{ Features []string }
	err := json.Unmarshal(hello[len(magic)+2:], &said)
	return err == nil && slices.Contains(said.Features, feature)
}

// parseReady reads what the module declares.
func parseReady(payload []byte) (platform.Declaration, error) {
	var ready struct {
		Handlers []struct{ Name, Kind string }
		Auth     json.RawMessage
		Style    string
		Sockets  []string
	}
	if err := json.Unmarshal(payload, &ready); err != nil {
		return platform.Declaration{}, protocolError("READY does not parse: %v", err)
	}
	var d platform.Declaration
	if len(ready.Handlers)+len(ready.Sockets) == 0 { // a recorded declaration of none would match whatever comes later
		return d, protocolError("READY declares no handler")
	}
	switch ready.Style {
	case "", "context":
	case "event":
		d.Style = platform.StyleEvent
	default:
		return d, protocolError("READY: style %.64q", ready.Style)
	}
	kinds := map[string]platform.HandlerKind{"custom": platform.HandlerCustom, "root": platform.HandlerRoot, "service": platform.HandlerService, "callback": platform.HandlerCallback}
	for i, h := range ready.Handlers {
		kind, ok := kinds[h.Kind]
		if !ok || i > 0 && ready.Handlers[i-1].Name >= h.Name {
			return d, protocolError("READY: handler %q of kind %q, unknown or out of order", h.Name, h.Kind)
		}
		d.Handlers = append(d.Handlers, platform.DeclaredHandler{Name: h.Name, Kind: kind})
	}
	for i, path := range ready.Sockets {
		if i > 0 && ready.Sockets[i-1] >= path {
			return d, protocolError("READY: the WebSocket at %.64q is out of order", path)
		}
	}
	d.Sockets = ready.Sockets
	switch string(ready.Auth) {
	case "null":
	case `"*"`:
		d.Auth = platform.AuthDeclaration{Present: true, All: true}
	default:
		d.Auth.Present = true
		if err := json.Unmarshal(ready.Auth, &d.Auth.Names); err != nil || d.Auth.Names == nil {
			return d, protocolError("READY: auth is neither null, \"*\" nor a list")
		}
		if len(d.Auth.Names) == 0 {
			d.Auth.Names = nil // as it comes back from the store
		}
	}
	return d, nil
}

// table is a string table inside a payload: u16 count, lengths, bytes.
type table struct {
	count   int
	lengths []byte
	bytes   []byte
}

// parseTable reads a string table at the start of b and returns what follows it.
func parseTable(b []byte) (t table, rest []byte, err error) {
	if len(b) < 2 {
		return t, nil, protocolError("a string table is cut off")
	}
	t.count = int(binary.BigEndian.Uint16(b))
	b = b[2:]
	if len(b) < 2*t.count {
		return t, nil, protocolError("a string table is cut off")
	}
	t.lengths, b = b[:2*t.count], b[2*t.count:]
	size := 0
	for i := 0; i < len(t.lengths); i += 2 {
		size += int(binary.BigEndian.Uint16(t.lengths[i:]))
	}
	if len(b) < size {
		return t, nil, protocolError("a string table is cut off")
	}
	t.bytes = b[:size]
	return t, b[size:], nil
}

// each calls f with each pair of strings.
func (t table) each(f func(name, value []byte)) {
	b := t.bytes
	for i := 0; i+1 < t.count; i += 2 {
		n := int(binary.BigEndian.Uint16(t.lengths[2*i:]))
		v := int(binary.BigEndian.Uint16(t.lengths[2*i+2:]))
		f(b[:n], b[n:n+v])
		b = b[n+v:]
	}
}

// parseResponse reads a response block and returns the body bytes behind it.
func parseResponse(payload []byte) (status int, headers table, body []byte, err error) {
	if len(payload) < 2 {
		return 0, headers, nil, protocolError("a response block is cut off")
	}
	status = int(binary.BigEndian.Uint16(payload))
	if status != statusSocket && status < 200 || status > 599 {
		return 0, headers, nil, protocolError("a response with status %d", status)
	}
	headers, body, err = parseTable(payload[2:])
	if err == nil && headers.count%2 != 0 {
		err = protocolError("a response block of %d strings", headers.count)
	}
	return status, headers, body, err
}
