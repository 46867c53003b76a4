package console

import (
	"context"
	"errors"
	"io"
	"net/http"
	"testing"
	"time"
)

// within fails unless a channel is closed in time.
func within(t *testing.T, done <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		t.Error(what)
	}
}

// ask sends a request into a handler of this process.
func ask(t *testing.T, ctx context.Context, h http.HandlerFunc) (*http.Response, error) {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://console.invalid/", nil)
	if err != nil {
		t.Fatal(err)
	}
	return (&inside{api: h, session: Session{In: func(ctx context.Context) context.Context { return ctx }}}).RoundTrip(r)
}

func TestInside_ClosedAnswerEndsTheCall(t *testing.T) {
	over := make(chan struct{})
	res, err := ask(t, t.Context(), func(w http.ResponseWriter, r *http.Request) {
		defer close(over)
		io.WriteString(w, "a")
		<-r.Context().Done()
		if _, err := io.WriteString(w, "b"); err == nil {
			t.Error("nobody reads, and what is written goes somewhere")
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	io.ReadFull(res.Body, make([]byte, 1))
	res.Body.Close()
	within(t, over, "the handler goes on")
}

func TestInside_EndedBeforeAnAnswer(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	over := make(chan struct{})
	_, err := ask(t, ctx, func(w http.ResponseWriter, r *http.Request) {
		defer close(over)
		cancel()
		<-r.Context().Done()
	})
	if err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	within(t, over, "the handler goes on")
}

func TestInside_CutOff(t *testing.T) {
	res, err := ask(t, t.Context(), func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if _, err := io.ReadAll(res.Body); res.StatusCode != http.StatusInternalServerError || err == nil {
		t.Errorf("status %d, error %v", res.StatusCode, err)
	}
}
