package main_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// family is a row of docs/security-tests.md.
type family struct {
	name, what string
	sockets    []string // tests of this package, which count their cases as they run
	beneath    []string // package and tests, whose tables are counted where they stand
}

type rows []family

// name reports whether a test of this package is in a row.
func (r rows) name(test string) bool {
	return slices.ContainsFunc(r, func(f family) bool { return slices.Contains(f.sockets, test) })
}

var families = rows{
	{"Paths", "other spellings of a guarded path: dots, slashes, escapes, case, NUL, parameters, fragments, 64 KiB; by path and by host, by name and by route. Policy, router and handler have one path",
		[]string{"TestAttack_Paths", "TestAttack_Routes"}, []string{"internal/gateway TestCanonicalPath TestRoutes_Paths", "internal/function TestTable_Match TestMatch_Routes TestMatch_RoutesAndNames"}},
	{"Methods", "HEAD, OPTIONS, TRACE, CONNECT, small letters, unknown verbs, each header and parameter that asks for another method, forms of the target",
		[]string{"TestAttack_TargetsAndMethods", "TestAttack_Methods"}, []string{"internal/gateway TestMethodsAndTargets TestRoutes_Methods TestCORS_Preflight"}},
	{"Credentials", "two of one kind, two that disagree, other schemes, spaces, alphabets, padding, control characters, 1 MiB, the query, aliases of headers, hop-by-hop; pipelined principals; every credential at every kind of route",
		[]string{"TestAttack_Credentials", "TestAttack_PipelinedPrincipals", "TestAttack_AuthorizationIsPassedOnOnlyWhenForeign", "TestUnknownKeyIsLikeWrongSecret"}, []string{"internal/auth TestAuthenticate TestDecide", "internal/gateway TestPolicy TestPolicyTable TestDoor_Credentials TestDoor_RefusedTakesNothing", "internal/accesskey TestParseSecret_Refuses"}},
	{"Spoofed trust", "identity headers, forwarding headers from those who are no proxy, and lists that a proxy passes on; an address rule and a rate do not move",
		[]string{"TestAttack_SpoofedTrust", "TestAttack_TrustedProxies"}, []string{"internal/httpx TestProxies_Believe TestServer_CallersBehindProxies", "internal/gateway TestDoor_Addresses TestDoor_Limits"}},
	{"HTTP/1 framing", "lengths and encodings that two readers read in two ways, chunk sizes, bare LF, folding, versions, trailers, requests behind an aborted body; in clear and inside TLS",
		[]string{"TestAttack_Framing"}, []string{"internal/wire TestConn_LetsThroughWhatHasOneReading", "internal/httpx TestServe_OneReadingOfARequest"}},
	{"HTTP/2", "pseudo-headers, fields of a connection, bodies that do not go with their head, rapid reset, continuations, settings, pings, windows; all of h2spec",
		[]string{"TestAttack_HTTP2", "TestAttack_HTTP2Heads", "TestAttack_HTTP2Bodies", "TestAttack_HTTP2Floods", "TestH2Spec"}, nil},
	{"Upstreams and WebSockets", "handshakes without credentials, of other origins, or half done; connections whose key, function or policy ends; messages above the limit; clients and upstreams that break the protocol; headers that would pass for ours",
		[]string{"TestAttack_Upstreams", "TestAttack_WebSockets", "TestAttack_Sockets"}, []string{"internal/gateway TestSocket_Handshake TestSocket_Revocation TestUpstream_Policy TestUpstream_HostileClients TestUpstream_Trailers", "internal/upstream TestAdmitWebSocket TestUpgrade_Refused TestSocket_Ends TestSocket_CutOff TestDo_Answers TestDo_Poisoned TestDo_OnTheWire TestDo_BadBody"}},
	{"Tokens", "alg none in any spelling, HS256 with the public key, kid, jku, jwk, crit, zero and malleable signatures, times, issuers, audiences, projects, revoked keys, retired signing keys; DPoP proofs; certificates",
		[]string{"TestAttack_Tokens", "TestAttack_DPoP", "TestAttack_CertificateBound"}, []string{"internal/token TestVerify_WhatTheTextSays TestVerify_BentTexts TestVerify_KeyConfusion TestWycheproof_Signatures TestVerifyProof_WhatTheTextSays TestParseJWKS_Refuses", "internal/auth TestBearer TestBearer_DiesAtOnce TestForeignIssuer"}},
	{"Token endpoint", "other methods and types, parameters twice, credentials in two places, wrong grants, a thousand wrong secrets; unknown key and wrong secret alike in bytes and time",
		[]string{"TestAttack_TokenEndpoint", "TestAttack_TokenEndpointLimits"}, []string{"internal/oauth TestToken_Refuses TestToken_Limits TestUnknownKeyIsLikeWrongSecret TestFailures"}},
	{"Signatures", "each scheme stale, future, replayed here and on another node and over a restart, changed in body, path, method or type, of another function, malleable, without a secret",
		[]string{"TestAttack_Signatures", "TestAttack_Callbacks", "TestCallback_Nodes", "TestCallback_OverRestarts", "TestCallback_AgainAtOnce", "TestCallback_CutOff"}, []string{"internal/signature TestVerify_Changes TestVerify_Headers TestVerify_Malleability TestVerify_Replays TestVectors TestStandard_Lists", "internal/gateway TestCallback TestCallback_OpensNothingElse TestCallback_Moved"}},
	{"Rotation and revocation", "a hundred rotations under load, the server killed, the database away, two nodes; a dead secret opens nothing after its time, a good one is never refused",
		[]string{"TestRotation_UnderLoadAndKill", "TestRotation_OfARoutesKey", "TestPolicy_KeyRotatedWithoutDeploy"}, []string{"internal/gateway TestRotation_UnderLoad TestRotation_DatabaseAway", "internal/app TestNodes", "internal/admin TestRevoke_Late"}},
	{"Handlers", "names of JavaScript's own, exports that are no functions, getters that throw; handlers that exit, throw late, never answer, block, write a gibibyte, fill the heap, leave children, close their socket or write their own frames",
		[]string{"TestAttack_HandlerNames", "TestAttack_Handlers"}, []string{"internal/worker TestConn_Misbehaviour TestConn_Start TestNode_RefusesToStart TestNode_Failures TestNode_EveryEndHasAReason TestProcess_Ends TestProcess_InheritsNothing", "internal/supervisor TestLeave_CrashLoopOpensTheCircuit TestDeclaration_OtherThanDeployedIsRefused"}},
	{"Static files", "traversal in every encoding towards code, manifest, .env, assets and the server's own files; hidden names, links, pipes, other spellings of a guarded file, other methods, floods of ranges; files that a function replaces where it lies",
		[]string{"TestAttack_Static"}, []string{"internal/bundle TestBuild_RefusesStaticFiles TestOpen_RefusesNames", "internal/function TestFiles_Match TestFiles_Guards TestFiles_Refuses", "internal/gateway TestFile_ConditionsAndRanges TestFile_Guarded", "internal/deploy TestOpenFile_WithoutAWorker"}},
	{"Logs", "escape sequences, colour bombs, bytes that are no UTF-8, text that looks like an event or an entry, invented request IDs, megabytes at once; logs, streams and status of another project by name and by ID; places that no event had; readers that are slow, too many, or whose credential ends; credentials in headers and addresses of calls",
		[]string{"TestAttack_Logs"}, []string{"internal/admin TestStream_Refused TestStream_MadeUpPlaces TestStream_Ends TestStream_Bounds TestFollow_OverCuts", "internal/funclog TestNames_Refused TestReader_LosesTheOldest TestInvocation_ShowsNoCredential TestGather_IsBounded", "internal/gateway TestKeptCalls", "internal/logview TestCurl_Quotes TestBrowser_Flood"}},
	{"Tenants", "each operation of the control plane and each function with another project's key, token and identifiers; what is another's and what is not there are answered alike; the same function name in two projects",
		[]string{"TestAttack_Tenants"}, []string{"internal/admin TestEveryOperation_IsGuarded TestProjectsAreApart TestKeysOfAnotherProject TestNoPrivilegeEscalation TestSubprojects_WhoMayWhat", "internal/gateway TestExplain_Tenancy TestInternal_Policy"}},
	{"Secrets of functions", "values and names at every place of a request that sets secrets; names of the platform, of the loader and of other alphabets; sealed values and data keys moved to other owners, names and versions in the database; values in answers, logs, the audit log and every file",
		[]string{"TestAttack_SecretStore", "TestAttack_SealedElsewhere", "TestSecretStore_Apart"}, []string{"internal/database TestReplace_Refused"}},
	{"Tunnels and development", "names and hosts that are almost a tunnel's, headers that speak for the gateway, answers that are two, none or of a protocol that nobody asked for; keys that end; pages of other sites, other hosts and forged forms at the developer's machine; archives of a hostile server",
		[]string{"TestAttack_TunnelCallers", "TestAttack_TunnelAnswers", "TestTunnel_WhoMay", "TestDevPage_Refuses"}, []string{"internal/devserver TestLocal_ForeignHosts TestLocal_PagesOfOtherSites TestPage_OnlyForTheDeveloper TestGuards", "internal/tunnel TestHub_Names TestHub_Hostile", "internal/cli TestExtract"}},
	{"Calls between functions", "tokens of workers outside, private functions from outside, other projects, circles",
		[]string{"TestCalls_Refused", "TestCalls_Private", "TestCalls_TokenIsNowhere"}, []string{"internal/gateway TestInternal_Policy TestInternal_TokenDiesWithItsKey TestPrivate", "internal/oauth TestCallToken"}},
	{"Secrets in output", "right and wrong secrets in every place of a request; afterwards none in an answer, log, metric, explanation, file, backup or the database, raw or in eight encodings",
		[]string{"TestSecrets_StayOut", "TestForms", "TestTerminal_SecretIsNotShown"}, []string{"internal/store TestSQLite_FilesAreTheOwnersAndHoldNoSecret", "internal/oauth TestRecord_HoldsNoSecret", "internal/accesskey TestRedact TestSecret_NeverPrintsItself", "internal/worker TestProcess_InheritsNothing TestToken_Redacted"}},
	{"Flood", "slow headers and bodies, endless chunks, idle connections, deep JSON, 10,000 headers; tens of thousands of refusals beside calls that are all answered",
		[]string{"TestAttack_Flood", "TestAttack_SlowHeaders", "TestAttack_SlowBodies", "TestAttack_IdleConnections", "TestAttack_FloodOfRefusals", "TestAttack_RefusalsWait"}, []string{"internal/httpx TestServer_ConnectionsAreBounded TestServer_SlowCallers", "internal/audit TestFlood", "internal/gateway TestRefusals_Flood TestRefusal_DoesNotFloodTheLog TestSlow TestSlow_IsBounded"}},
	{"Pages and sessions", "forged forms, fixed sessions, cookies of other names and hosts, places elsewhere, guessing, sessions after signing out",
		[]string{"TestAttack_Console", "TestSignIn", "TestSignIn_InABrowser"}, []string{"internal/gateway TestSignIn_WhoIsLetIn TestSignIn_Forms TestSignIn_Next TestSignIn_Flags TestSignIn_BruteForce TestSignIn_End", "internal/signin TestSession TestForm TestDesk_Waits"}},
	{"The console", "forms from other sites and in other shapes, tokens of elsewhere; fixed, doubled and ended sessions, cookies in other places and at other doors; places to go on to, frames; the first user again and at once; guessing, one by one and at once",
		[]string{"TestAttack_ConsoleForms", "TestAttack_ConsoleSessions", "TestAttack_ConsoleSignIn", "TestAttack_ConsoleGuesses"}, []string{"internal/account TestSignIn TestSession_Ends TestSignInKey TestCode TestConfirm_Refuses TestPassword_Refuses TestHashes", "internal/console TestSignIn_Next TestSetup", "internal/admin TestSession TestUsers_AreRefused", "internal/auth TestDecide_User TestOfKey TestFromSession", "internal/signin TestDesk_Begin"}},
	{"Command line", "escape sequences from functions, keys and servers; modes of every file under umask 0; symbolic links where files are expected; JSON that is whole, errors too",
		[]string{"TestAttack_Terminal", "TestAttack_Files"}, []string{"internal/cli TestClean TestKeys_PrintedClean TestReport_JSONIsOneLineEach", "internal/userfile TestRefusals TestWrite_ReadsBackAndIsPrivate", "internal/config TestFields_NoFlagForSecrets"}},
	{"Deploy", "zip slip, links, duplicates, bombs, 501 files, 25 MiB and a byte, other hashes, manifests that are wrong, smoke tests that fail, uploads cut off, two at once, the server killed; the version before answers on",
		[]string{"TestAttack_Deploy", "TestChaos_KillDuringDeploy", "TestChaos_RedeployUnderLoad"}, []string{"internal/bundle TestOpen_Refuses TestBuild_RefusesLinksThatLeadOut TestOpen_DoesNotTrustSizes", "internal/deploy TestDeploy_FailureLeavesNothing TestDeploy_TwoAtOnce TestDeploy_BadArchives", "internal/admin TestUpload_CutOffAndLargest", "internal/function TestParseManifest_Refuses"}},
}

// targets are what is fuzzed, and what holds whatever the input is.
var targets = [][3]string{
	{"internal/gateway", "FuzzCanonicalPath", "a path is refused, or is plain: no empty or dot segments, and its own canonical form"},
	{"internal/gateway", "FuzzNext", "a sign-in never leads to another host"},
	{"internal/state", "FuzzService", "whatever a worker asks for, the host answers in one frame or says why not, and fails in no way of its own"},
	{"internal/function", "FuzzPattern", "a pattern that is accepted comes back as it was, answers the path that it is, and never one above it"},
	{"internal/state", "FuzzService", "whatever a worker asks for, the host answers in one frame or says why not, and fails in no way of its own"},
	{"internal/function", "FuzzTable_Match", "whatever the path, a call is guarded as its handler is"},
	{"internal/function", "FuzzParseManifest", "a manifest is refused with a place in it, or an artefact carries it unchanged"},
	{"internal/environ", "FuzzParseDotenv", "a .env file is refused, or says the same when it is written in another way"},
	{"internal/function", "FuzzCheckOrigin", "an origin is refused, or is one that a browser sends letter for letter"},
	{"internal/auth", "FuzzAuthenticate", "only the one spelling of the one credential lets in"},
	{"internal/accesskey", "FuzzParseSecret", "a secret is refused, or prints back as it was"},
	{"internal/accesskey", "FuzzValidID", "an ID is refused, or unpacks to what was packed"},
	{"internal/policy", "FuzzParse", "a document is refused, or says the same when it is written anew, in one form"},
	{"internal/httpx", "FuzzProxies", "the address that counts is the peer's, or one that a trusted proxy wrote"},
	{"internal/wire", "FuzzConn_ReadsAsNetHTTPDoes", "what is let through is read by net/http as exactly the requests that were counted"},
	{"internal/lane", "FuzzServer_AgreesWithNetHTTP", "what serves plain requests by itself has handlers see the same requests as net/http, and answers the same"},
	{"internal/worker", "FuzzParse", "a frame is refused, or is the same once written and read"},
	{"internal/worker", "FuzzHandle", "whatever a worker writes, nothing panics and a call ends at most once"},
	{"internal/token", "FuzzVerify", "what passes has one spelling, and a signature that another reading of it finds good too"},
	{"internal/token", "FuzzVerify_Signed", "what is signed and passes is read alike by another reader of JSON"},
	{"internal/token", "FuzzVerifyProof", "a proof is refused, or is read alike by another reader of JSON"},
	{"internal/token", "FuzzParseJWKS", "what is read from a key set can be published, and is read from that again"},
	{"internal/signature", "FuzzVerify_Unsigned", "without the secret nothing passes, whatever stands in which header"},
	{"internal/signature", "FuzzVoice_OneMeaning", "what is signed for one path is good for no other"},
	{"internal/signature", "FuzzStandard_Signed", "what is signed for one ID, time and body is good for no other"},
	{"internal/signin", "FuzzCookies", "what would be taken for a cookie of ours reaches no handler, and nothing else is lost"},
	{"internal/signin", "FuzzSession", "nothing opens but what was sealed"},
	{"internal/bundle", "FuzzOpen", "an archive is refused, or has exactly the files that a build writes"},
	{"internal/usage", "FuzzDecode", "what is taken for a batch of a journal encodes to the same rows"},
	{"internal/redact", "FuzzWriter", "in parts or at once, no value is left and nothing else is changed"},
	{"internal/telemetry", "FuzzTraceparent", "what is read is sent on in the same letters, and nothing else is read"},
}

// count notes, by package and test, the entries of the tables beneath.
func (r rows) count(into map[string]int) error {
	for _, f := range r {
		for _, group := range f.beneath {
			pkg, tests, _ := strings.Cut(group, " ")
			entries, err := entriesOf(pkg)
			if err != nil {
				return err
			}
			for _, test := range strings.Fields(tests) {
				n, ok := entries[test]
				if !ok {
					return fmt.Errorf("%s has no %s", pkg, test)
				}
				into[pkg+" "+test] = n
			}
		}
	}
	return nil
}

// page is docs/security-tests.md for so many cases of each test.
func (r rows) page(numbers map[string]int) string {
	var table, fuzzed strings.Builder
	all, beneath := 0, 0
	for _, f := range r {
		sum, cases := 0, "–"
		var sockets, others []string
		for _, test := range f.sockets {
			sockets = append(sockets, shown(test, numbers[test]))
			sum += numbers[test]
		}
		for _, group := range f.beneath {
			pkg, tests, _ := strings.Cut(group, " ")
			var list []string
			for _, test := range strings.Fields(tests) {
				list = append(list, shown(test, numbers[pkg+" "+test]))
				beneath += numbers[pkg+" "+test]
			}
			others = append(others, "`"+pkg+"`: "+strings.Join(list, ", "))
		}
		if sum > 0 {
			cases = strconv.Itoa(sum)
		}
		fmt.Fprintf(&table, "| %s | %s | %s | %s | %s |\n", f.name, f.what, cases, strings.Join(sockets, ", "), strings.Join(others, "; "))
		all += sum
	}
	for _, t := range targets {
		fmt.Fprintf(&fuzzed, "| `%s` | `%s` | %s |\n", t[0], t[1], t[2])
	}
	return fmt.Sprintf(pageText, all, beneath, &table, &fuzzed)
}

// shown is a test with the number of its cases; a story has no number.
func shown(test string, n int) string {
	if n == 0 {
		return "`" + test + "`"
	}
	return "`" + test + "` " + strconv.Itoa(n)
}

const pageText = `# What is attacked, and where

The families of attacks that Postern is tested with, made from the tests themselves: ` + "`go test ./cmd/postern -update`" + ` writes this page, and each run of these tests
fails if it tried fewer cases than the page says, or if a test that the page names is not there.

**On sockets** are tests in ` + "`cmd/postern`" + ` against the real program as its users start it, with bytes that no client library tidied. The oracle of a refusal is not its status
alone: the handler counts its own runs, and has not run. A number is how many different cases the test tried, counted while it ran: %d in all. A test without a number is one story.
**Beneath** are tests of single packages; their number is how many entries their tables have: %d.

| family | what is tried | cases | on sockets | beneath |
|---|---|---|---|---|
%s
Not listed, because Postern does not have it: a server for development. Stories of the command line are scripts in ` + "`cmd/postern/testdata/script`" + `.
The worker's own end is tested in TypeScript: ` + "`runtime/node/test/worker.test.ts`, `runtime/node/test/loader.test.ts` and `runtime/node/test/protocol.test.ts`" + `, the last with the same vectors as ` + "`internal/worker`" + `.

## Fuzzing
Each target has seeds in the repository, and a test fails if one has none. Each was run for five minutes: ` + "`go test ./internal/wire -run '^$' -fuzz FuzzConn -fuzztime 5m`" + `.

| package | target | what holds, whatever comes |
|---|---|---|
%s`

// cased is a test with its cases in the page, ofPackage a package with tests.
var (
	cased     = regexp.MustCompile("`(Test[A-Za-z0-9_]+)` ([0-9]+)")
	ofPackage = regexp.MustCompile("^ *`([a-z/]+)`: ")
)

// numbersOf reads the numbers of a page: by test of this package, and by
// package and test of the others.
func numbersOf(page string) map[string]int {
	numbers := map[string]int{}
	note := func(pkg, text string) {
		for _, m := range cased.FindAllStringSubmatch(text, -1) {
			numbers[pkg+m[1]], _ = strconv.Atoi(m[2])
		}
	}
	for line := range strings.Lines(page) {
		cells := strings.Split(line, "|")
		if len(cells) != 7 {
			continue
		}
		note("", cells[4])
		for _, group := range strings.Split(cells[5], ";") {
			if m := ofPackage.FindStringSubmatch(group); m != nil {
				note(m[1]+" ", group)
			}
		}
	}
	return numbers
}

// entriesOf counts, by test of a package, the entries of the tables that the
// test goes over, which stand in it, beside it, or in a package for tests below.
func entriesOf(pkg string) (map[string]int, error) {
	files, err := filepath.Glob(filepath.Join("../..", pkg, "*_test.go"))
	if err != nil {
		return nil, err
	}
	below, err := filepath.Glob(filepath.Join("../..", pkg, "*test", "*.go"))
	if err != nil {
		return nil, err
	}
	files = append(files, below...)
	outside, found := map[string]int{}, map[string]*ast.FuncDecl{}
	for _, file := range files {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		for _, d := range f.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				found[d.Name.Name] = d
			case *ast.GenDecl:
				tables(d, outside)
			}
		}
	}
	entries := map[string]int{}
	for name, f := range found {
		if strings.HasPrefix(name, "Test") {
			entries[name] = gone(f, outside)
		}
	}
	return entries, nil
}

// tables notes the variables below a node that are tables, by their entries.
func tables(n ast.Node, into map[string]int) {
	note := func(name, value ast.Expr) {
		if id, ok := name.(*ast.Ident); ok {
			if c, ok := value.(*ast.CompositeLit); ok {
				into[id.Name] = len(c.Elts)
			}
		}
	}
	ast.Inspect(n, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			for i := range min(len(n.Lhs), len(n.Rhs)) {
				note(n.Lhs[i], n.Rhs[i])
			}
		case *ast.ValueSpec:
			for i := range min(len(n.Names), len(n.Values)) {
				note(n.Names[i], n.Values[i])
			}
		}
		return true
	})
}

// gone adds up the tables that a test goes over; one inside another is a part
// of its entries.
func gone(f *ast.FuncDecl, outside map[string]int) (n int) {
	known := maps.Clone(outside)
	tables(f, known)
	ast.Inspect(f.Body, func(node ast.Node) bool {
		r, ok := node.(*ast.RangeStmt)
		if !ok {
			return true
		}
		here := 0
		switch x := r.X.(type) {
		case *ast.CompositeLit:
			here = len(x.Elts)
		case *ast.Ident:
			here = known[x.Name]
		case *ast.SelectorExpr:
			here = known[x.Sel.Name]
		}
		n += here
		return here == 0
	})
	return n
}
