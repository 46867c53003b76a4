package admin

import "strings"

// tags are the parts of the document, by what a path has after its project or
// version; a path of a function by what it has after that.
var tags = map[string]string{
	"accessKeys": "Access keys", "artefacts": "Deploys", "audit": "Audit", "explain": "Audit", "functions": "Functions", "gateway": "Gateway", "secrets": "Secrets", "server": "Server", "whoami": "Server",
	"subprojects": "Subprojects", "tunnels": "Tunnels", "usage": "Usage", "traffic": "Traffic", "events": "Traffic", "users": "Users", "signingKeys": "Signing keys",
	"functions/deployments": "Deploys", "functions/plan": "Deploys", "functions/promote": "Deploys", "functions/rollback": "Deploys", "functions/source": "Deploys",
	"functions/logs": "Logs", "functions/secrets": "Secrets", "functions/storage": "What functions keep", "functions/database": "What functions keep", "functions/traffic": "Traffic",
}

// tagOf is the part of the document in which an operation is told.
func tagOf(path string) string {
	parts := strings.Split(strings.TrimPrefix(path, "/v1/"), "/")
	if parts[0] == "projects" && len(parts) > 2 {
		parts = parts[2:]
	}
	if len(parts) > 2 {
		if t := tags[parts[0]+"/"+parts[2]]; t != "" {
			return t
		}
	}
	if t := tags[parts[0]]; t != "" {
		return t
	}
	return "Other"
}
