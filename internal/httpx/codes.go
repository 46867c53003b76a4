package httpx

import "postern.dev/postern/internal/fault"

// Code is one row of the table of problems: the stable machine code that a
// caller may act on, the status that goes with it, a title, and what to do.
// docs/errors.md is made from it.
type Code struct {
	Code   string
	Status int
	Title  string
	Remedy string // shown as the hint where the error brings none of its own
}

// codes is the one table of all problem codes, by status and then by name.
var codes = []Code{
	{"invalid_request", 400, "The request is not valid", "correct the request; the detail says what is wrong"},
	{"ambiguous_path", 400, "The path can be read in two ways", "send a path without dot segments, encoded slashes, backslashes, control characters or a fragment"},
	{"duplicate_credentials", 400, "Credentials were given more than once", "send one Authorization header or one X-API-Key header"},
	{"conflicting_credentials", 400, "Two credentials name different keys", "send one credential, or two that name the same access key"},
	{"credential_in_headers", 400, "A credential is among the headers to be sent", "leave it out, and say with as whom it is sent for: caller, function or nobody"},
	{"body_malformed", 400, "The body does not parse", "send a body that is valid for its content-type"},
	{"upgrade_refused", 400, "No WebSocket is opened here", "open it with HTTP/1.1 and version 13, at a path of runtime.onWebSocket or at an upstream that has websocket in its policy"},
	{"manifest_missing", 400, "There is no manifest", "run: postern functions init"},
	{"manifest_invalid", 400, "The manifest is not valid", "correct the named line of postern.json or sinch.json"},
	{"entry_missing", 400, "There is no function.ts", "put the handlers into function.ts beside the manifest"},
	{"bundle_failed", 400, "The code does not bundle", "correct the named file and line"},
	{"sources_too_large", 400, "The project is larger than can be deployed", "name what the function does not need in its manifest, under exclude"},
	{"artefact_invalid", 400, "The artefact is not valid", "deploy again with the same version of postern as the server"},
	{"key_of_function", 400, "This is a function's own key", "deploy the function again: each deploy gives it a new key"},
	{"user_name_invalid", 400, "The name is none that a user can have", "write up to 64 lower-case letters, digits and ._@+-, with a letter or a digit first"},
	{"password_weak", 400, "The password is too weak", "take at least 12 characters that are not the user's name"},
	{"database_invalid", 400, "It is no SQLite database", "upload a file that sqlite3 opens, as postern functions db download writes it"},
	{"storage_key_invalid", 400, "This is no key of a storage", "write it as a relative path in its shortest form, such as reports/2026.csv"},
	{"key_expired", 400, "The access key has expired", "move its expireTime first, or make a new key"},
	{"nested_subproject", 400, "A subproject can have no subprojects", "make it below the parent project"},
	{"project_not_empty", 400, "The subproject has functions", "delete its functions first"},
	{"policy_invalid", 400, "The policy is not valid", "correct the named line of gateway.yaml; the policy before stays in force"},
	{"key_of_policy", 400, "This key is made by the project's policy", "change its entry under keys in gateway.yaml and apply that; to end it at once, revoke it"},
	{"unauthenticated", 401, "No valid credentials", "send the access key as HTTP Basic (key ID and secret) or as X-API-Key (secret), or a token got with it as Bearer"},
	{"token_invalid", 401, "The access token is not valid", "get a new one from the control plane's /oauth2/token, for this server, with a key that lives"},
	{"token_expired", 401, "The access token has expired", "get a new one from the control plane's /oauth2/token"},
	{"token_required", 401, "This key's secret opens nothing by itself", "get a token with it from the control plane's /oauth2/token, bound as the key demands, and send that"},
	{"dpop_invalid", 401, "The caller does not prove that the token is theirs", "send the token with the scheme DPoP and a fresh proof for this method and URL (RFC 9449)"},
	{"credential_not_taken", 401, "This route takes credentials in another way", "show the credential in one of the ways that the challenge names"},
	{"signature_required", 401, "This callback needs a provider's signature", "sign it as the provider does, with the secret that the function has, and send it once and within five minutes; postern explain tells what was wrong"},
	{"session_ended", 401, "The session of the console has ended", "sign in again at /console/"},
	{"signin_failed", 401, "The user or the password is wrong", "sign in with the function's ADMIN_USER and ADMIN_PASSWORD"},
	{"not_allowed", 403, "The access key may not do this", "use a key of this project with the needed scope, from an allowed address"},
	{"caller_opens_nothing", 403, "The request cannot be sent in the name of who asks", "send it as the function or as nobody; or ask with an access key that has the scope invoke and takes plain tokens"},
	{"address_not_allowed", 403, "This address may not call here", "call from one of the addresses that the route is for"},
	{"origin_not_allowed", 403, "Pages of this origin may not call here", "add the origin to the route's cors, letter for letter as the browser sends it"},
	{"signin_forged", 403, "The form did not come from this site", "send it from a page of the same host; a form that was open for an hour has to be opened again"},
	{"tunnel_unguarded", 403, "A tunnel would lead to handlers that nobody guards", "configure the credentials that guard them; or, if everybody may call them: --insecure-tunnel"},
	{"tunnels_off", 403, "This server opens no tunnels", "whoever runs it can allow them: --tunnels says how many"},
	{"cannot_grant", 403, "A key cannot give what it does not have", "use a key that has at least what it is to give"},
	{"not_found", 404, "There is nothing here", "check the address"},
	{"function_not_found", 404, "There is no such function", "list the functions with: postern functions list"},
	{"handler_not_found", 404, "The function has no such handler", "the last segment of the path names the handler, and case counts; or the manifest has routes. postern functions status NAME lists what there is"},
	{"policy_not_found", 404, "There is no such policy", "list them with: postern gateway history"},
	{"request_unknown", 404, "Nothing is known of this request", "ask soon after the request; of a flood of refusals the first are remembered one by one"},
	{"version_not_found", 404, "The function has no such version", "list them with: postern functions versions NAME"},
	{"database_missing", 404, "The function has no database", "context.database names the file; the function makes it"},
	{"object_not_found", 404, "There is no such object in the storage", "list them with: postern functions storage list"},
	{"artefact_missing", 404, "The artefact was not uploaded", "upload the artefact, then ask for the deployment again"},
	{"sources_missing", 404, "The version has no sources", "it was deployed by an older postern; deploy it again, and they are kept"},
	{"method_not_allowed", 405, "This method is not served", "use GET, POST, PUT, PATCH, DELETE or OPTIONS"},
	{"conflict", 409, "It exists already, or changed meanwhile", "read it again, then decide"},
	{"display_name_taken", 409, "A key of this project has that display name", "choose another display name"},
	{"key_exists", 409, "A key with that ID was made already", "look at it in the list; its secret was shown once, and a lost one means: rotate the key"},
	{"key_changed", 409, "The access key was changed meanwhile", "read it again, then decide"},
	{"user_name_taken", 409, "Another user has that name", "choose another name; it is for the whole installation"},
	{"setup_done", 409, "The first user was made already", "sign in; or make another user with: postern users add NAME"},
	{"deploy_raced", 409, "Another deploy was faster", "look at what is deployed now, then deploy again"},
	{"versions_raced", 409, "The function's versions were changed meanwhile", "look at them with postern functions versions NAME, then decide"},
	{"candidate_missing", 409, "No version is beside the active one", "deploy one with: postern functions deploy --percent N; or name an earlier one with --version"},
	{"version_active", 409, "This version is the active one", "name another; list them with: postern functions versions NAME"},
	{"version_first", 409, "No earlier version has served", "deploy what should serve, or name a version with --to"},
	{"upload_moved", 409, "The upload goes on elsewhere", "ask where it is, and send what comes there"},
	{"function_held", 409, "The function's workers are stopped for something else", "wait until that is done, then try again"},
	{"database_busy", 409, "The database is being replaced", "wait until that is done, then look at it and decide"},
	{"storage_full", 409, "The function's storage is full", "delete objects, or raise storage-objects or storage-size on the server"},
	{"policy_raced", 409, "Another policy was applied meanwhile", "look at what is in force now with postern gateway export, then apply again"},
	{"secrets_raced", 409, "The secrets were changed meanwhile", "try again"},
	{"name_taken", 409, "A function or an upstream of this project has that name", "choose another name"},
	{"digest_taken", 409, "Another access key has this digest", "give the key a secret of its own: postern gateway key"},
	{"key_taken", 409, "The ID belongs to another access key", "give the key an ID of its own: postern gateway key"},
	{"key_revoked", 409, "The access key was revoked, and does not come back", "remove its entry from gateway.yaml, or make it anew: postern gateway key"},
	{"schema_newer", 409, "The database is of a newer version", "use the newer postern, or another data directory"},
	{"data_locked", 409, "Another server uses the data directory", "stop the other server, or choose another directory with --data"},
	{"precondition_failed", 412, "It is not the version that was asked for", "get the file again, and its ETag with it"},
	{"body_too_large", 413, "The body is larger than the handler takes", "send less, or raise bodyLimit of this handler in the manifest"},
	{"storage_object_too_large", 413, "The object is larger than the storage takes", "store less, or raise storage-object-size on the server"},
	{"range_not_satisfiable", 416, "The file has none of the bytes that were asked for", "ask for bytes below the size in Content-Range"},
	{"smoke_test_failed", 422, "The new version did not start", "the detail has its last lines; traffic stays on the version before"},
	{"module_failed", 422, "The module threw while it was loaded", "correct the error that the detail shows; traffic stays on the version before"},
	{"setup_failed", 422, "The function could not be set up", "correct what setup or its hooks do, as the detail says; traffic stays on the version before"},
	{"auth_malformed", 422, "The auth export is malformed", "export auth as '*' or as an array of handler names"},
	{"auth_unknown_handler", 422, "The auth export names a handler that does not exist", "correct the name; the detail lists the handlers"},
	{"no_handlers", 422, "The module exports no handler", "export at least one function"},
	{"policy_unmet", 422, "The project's policy does not allow this deploy", "deploy what the named line of the policy asks for, or change that line first with postern apply"},
	{"secret_invalid", 422, "This cannot be a secret", "use a name of upper-case letters, digits and underscores, and a value of 1 byte to 64 KiB"},
	{"secret_missing", 422, "A secret that the function declares has no value", "postern secrets add NAME; or deploy without it with --force"},
	{"secret_is_variable", 422, "A name is a variable and a secret", "take it out of the variables, which are shown; or remove the secret"},
	{"upgrade_required", 426, "This address is a WebSocket", "open a WebSocket here, with HTTP/1.1"},
	{"rate_limited", 429, "A rate is used up", "wait as long as Retry-After says"},
	{"quota_exceeded", 429, "The access key has used up its quota", "wait until the day or month ends, as Retry-After says, or raise the key's quota"},
	{"deploys_waiting", 429, "Too many deploys wait already", "wait until some have ended: postern functions list shows them"},
	{"streams_limited", 429, "Too many streams are open", "close one; each terminal that follows a log has one open, and each page of the console that somebody sees"},
	{"windows_limited", 429, "Too many windows of the console are live", "close or cover one; what is in another tab or behind another window is not counted"},
	{"sends_limited", 429, "Too many requests are being sent for the project", "wait until one of them is answered; or call the function at its own address"},
	{"basic_limited", 429, "Showing the bare secret is for trying things out", "get a token with this key at POST /oauth2/token (grant_type=client_credentials) and send it as Authorization: Bearer"},
	{"tunnels_full", 429, "As many tunnels are open as may be", "end one that is open, or try again later; --tunnels and --tunnels-per-project of the server say how many may be"},
	{"signin_locked", 429, "Too many attempts to sign in have failed", "wait as long as Retry-After says; until then the right password is refused too"},
	{"client_closed", 499, "The caller went away", "nothing to do"},
	{"internal", 500, "Internal error", "give the request ID to whoever runs this server"},
	{"handler_failed", 500, "The handler failed", "the function's log has the reason under the request ID"},
	{"development_failed", 500, "The function cannot be run as it was saved", "correct what the detail says and save it; only postern functions dev answers this"},
	{"method_unknown", 501, "This method is not known", "use a method of RFC 9110, in upper case"},
	{"worker_lost", 502, "The worker ended before it answered", "the function's log says why the worker ended"},
	{"upstream_failed", 502, "The upstream's answer is none, or broke off", "look at the upstream; the server's log has the reason under the request ID"},
	{"upstream_unreachable", 502, "The upstream cannot be reached", "see whether it runs, and whether its URL is right; the server's log has the reason under the request ID"},
	{"tunnel_failed", 502, "The tunnel broke off before the answer", "see whether postern functions dev still runs at the other end, then call again"},
	{"unavailable", 503, "A part that is needed is away", "try again later"},
	{"queue_full", 503, "Too many calls wait already", "try again later, or raise the number of workers"},
	{"signin_busy", 503, "Too many sign-ins are under way", "try again in a moment"},
	{"start_failed", 503, "The function does not start", "the function's log has the reason"},
	{"circuit_open", 503, "What would answer keeps failing", "deploy a version that starts; the function's log has the reason"},
	{"tunnel_down", 503, "Nobody is at the other end of the tunnel", "see whether postern functions dev --tunnel still runs there; it comes back to the same name by itself"},
	{"policy_unfit", 503, "The function is shut by its policy", "deploy the function again, or apply the policy again; the server's log has the reason"},
	{"shutting_down", 503, "The server is stopping", "try again; another server or a restarted one will answer"},
	{"change_late", 503, "The change is made and not yet in force", "ask again until it succeeds; /readyz of this node says whether it hears of changes"},
	{"audit_unavailable", 503, "The audit log cannot be written", "a change may have been made: look, then decide"},
	{"keeper_away", 503, "The keeper of the secrets does not answer", "functions that run go on; /readyz of the server tells since when"},
	{"keeper_wrong", 503, "Secrets were sealed with another key", "start the server with the key that sealed them as --secrets-key-before"},
	{"node_missing", 503, "Node is missing or too old on the server", "install Node 20 or newer, or name it with --node"},
	{"port_in_use", 503, "The port is in use", "stop the other program, or choose another address"},
	{"timeout", 504, "It took too long", "raise the handler's timeout in the manifest, or answer sooner"},
	{"call_loop", 508, "Functions call one another in a circle", "look in the logs at which function calls which; at most ten calls may follow from one another"},
	{"loop_detected", 508, "The request goes in circles", "see that no upstream leads back to this gateway"},
}

// kindCodes is the code that stands for a kind when an error brings none.
var kindCodes = map[fault.Kind]string{
	fault.Internal:        "internal",
	fault.Invalid:         "invalid_request",
	fault.Unauthenticated: "unauthenticated",
	fault.Denied:          "not_allowed",
	fault.NotFound:        "not_found",
	fault.Conflict:        "conflict",
	fault.TooMany:         "rate_limited",
	fault.Unavailable:     "unavailable",
	fault.Timeout:         "timeout",
}

var byCode = func() map[string]*Code {
	m := make(map[string]*Code, len(codes))
	for i := range codes {
		m[codes[i].Code] = &codes[i]
	}
	return m
}()

// Codes returns the table of all problem codes, ordered by status.
func Codes() []Code { return codes }

// Lookup returns the row of a code; ok is false for a code that has none.
func Lookup(code string) (c Code, ok bool) {
	if row := byCode[code]; row != nil {
		return *row, true
	}
	return Code{}, false
}

// CodeOf is the row that describes err: that of its own code, else that of
// its kind. What is unknown is "internal".
func CodeOf(err error) Code {
	if e := asFault(err); e != nil {
		if c := byCode[e.Code]; c != nil {
			return *c
		}
	}
	return *byCode[kindCodes[fault.KindOf(err)]]
}
