package main_test

import (
	"strconv"
	"testing"
)

// A method is what stands at the front of the request, and nothing else says
// another one.
func TestAttack_Methods(t *testing.T) {
	t.Parallel()
	g := newTarget(t)
	shown := "Authorization: " + g.basic + "\r\n"
	var all []attempt
	add := func(name, start, header, body string, status []int, runs bool) {
		all = append(all, attempt{name, start + " HTTP/1.1\r\nHost: h\r\n" + header + "Content-Length: " + strconv.Itoa(len(body)) + "\r\nConnection: close\r\n\r\n" + body, status, runs})
	}
	for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} {
		add(method+" without a key", method+" /fn/f/webhook", "", "", refused, false)
		add(method+" with the key", method+" /fn/f/webhook", shown, "", fine, true)
	}
	for _, method := range []string{"TRACE", "CONNECT", "get", "Get", "gET", "head", "post", "options", "FETCH", "TRACK", "DEBUG", "PROPFIND", "SEARCH", "PURGE", "LINK", "GETT", "GE", "G", "X-GET", "GET.", "!", "_", "GET|POST", "M-SEARCH"} {
		for name, header := range map[string]string{" without a key": "", " with the key": shown} {
			add(method+name, method+" /fn/f/webhook", header, "", []int{400, 405, 501}, false)
			add(method+name+", open handler", method+" /fn/f/status", header, "", []int{400, 405, 501}, false)
		}
	}
	for _, method := range []string{"GET\t", "G ET", "GET,POST", "GET/", "\"GET\"", "GÉT", "GET\x00", "(GET)", "GET:", "GET@"} {
		add(strconv.Quote(method), method+" /fn/f/webhook", shown, "", []int{400}, false)
	}
	for _, name := range []string{"X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "X-Http-Method-Override", "_method", "X-Original-Method", "X-Rewrite-Method", "Method"} {
		for _, value := range []string{"GET", "OPTIONS", "HEAD", "TRACE", "get", "POST, GET"} {
			add(name+": "+value, "POST /fn/f/webhook", name+": "+value+"\r\n", "", refused, false)
		}
		add(name+" of a method that is not served", "TRACE /fn/f/webhook", shown+name+": GET\r\n", "", []int{405}, false)
		add(name+" to a method that is not served", "POST /fn/f/webhook", shown+name+": TRACE\r\n", "", fine, true)
	}
	const kind = "Content-Type: application/x-www-form-urlencoded\r\n"
	for _, form := range []string{"_method=GET", "_method=OPTIONS", "_METHOD=HEAD", "x-http-method-override=GET", "method=get"} {
		add(form+" in the query", "POST /fn/f/webhook?"+form, "", "", refused, false)
		add(form+" in the body", "POST /fn/f/webhook", kind, form, refused, false)
		add(form+" in a GET", "GET /fn/f/webhook?"+form, "", "", refused, false)
	}
	// A preflight is asked by nobody whom the handler's own rules let in.
	for _, want := range []string{"GET", "POST", "DELETE", "*"} {
		add("preflight of "+want, "OPTIONS /fn/f/webhook", "Origin: https://evil.example\r\nAccess-Control-Request-Method: "+want+"\r\nAccess-Control-Request-Headers: authorization\r\n", "", refused, false)
	}
	g.try(all)
}
