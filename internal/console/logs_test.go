package console_test

import "testing"

func TestFunctionLogs(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.want(s.get("functions/nosuch/logs"), 404, "there is no such function")
	s.deploy("shop", talking)
	page := "functions/shop/logs"
	s.want(s.get(page), 200, "data-stream=", "view=entries", "data-last=", "logs.js")
	for _, n := range []string{"%3Cscript%3Ealert(1)%3C/script%3E", "%1B[2Jbell%07", "%E2%80%AEturned", "%22%20onclick=%22x"} {
		s.call("GET", "/open?n="+n)
	}
	failed := s.call("GET", "/fails")
	p := s.until(page, failed, "onclick") // lines come by the worker's socket
	s.want(p, 200, "said &lt;script&gt;alert(1)&lt;/script&gt;", "said ␦[2Jbell␦", "said ␦turned", "said &#34; onclick=&#34;x", "requests/"+failed, `class="error"`, "answered 500")
	s.no(p, "<script>alert", "\x1b", "\u202e")
	if m := inlineStyle.FindString(p.body); m != "" {
		t.Errorf("%q", m)
	}
	p = s.get(page + "?level=error&search=fails")
	s.want(p, 200, "answered 500", `value="fails"`, "level=error")
	s.no(p, "turned")
	s.want(s.get(page+"?search=%22%3E%3Cb%3E"), 200, "Nothing like that is in the log.", `value="&#34;&gt;&lt;b&gt;"`)
	s.want(s.get(page+"?level=%3Cb%3E&before=x"), 200, "turned") // what is no filter filters nothing
	s.want(s.get(page+"?before=1"), 200, "The newest lines")
	s.no(s.get(page+"?before=1"), "data-stream")
}
