package main_test

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"sync"
	"time"

	"postern.dev/postern/internal/api"
)

// orders is what a small company might run.
const orders = `export const auth = ['create', 'refund'];

export const list = () => [{ id: 'A-1001', total: 42 }, { id: 'A-1002', total: 17.5 }];

export const create = async (context: any, request: any) => {
  const order = request.body ?? {};
  console.log('order from ' + (request.identity?.apiKeyId ? 'a partner' : 'the shop') + ', ' + (order.lines ?? 1) + ' lines');
  await new Promise((done) => setTimeout(done, 3 + Math.random() * (order.lines ?? 1) * 9));
  if (order.lines > 8) console.warn('a large order: the warehouse is asked first');
  return { statusCode: 201, body: { id: 'A-' + (1000 + Math.floor(Math.random() * 9000)), lines: order.lines ?? 1 } };
};

export const refund = (context: any, request: any) => {
  console.error('no payment ' + request.body?.payment + ' is known');
  throw new Error('payment not found');
};
`

// shop fills the server with what a small company might have, for pictures.
func (h *hall) shop() {
	h.Helper()
	quick := "export const auth = '*';\n"
	all(
		func() {
			more := `, "description": "Takes orders of the shop and of partners", "variables": {"CURRENCY": "EUR", "WAREHOUSE_URL": "https://warehouse.example/v2"}, "secrets": ["STRIPE_KEY"], "routes": [{"path": "GET /orders", "handler": "list", "auth": "none"}, {"path": "POST /orders", "handler": "create", "group": "partner"}, {"path": "POST /orders/{id}/refund", "handler": "refund", "group": "finance"}]`
			for version := range 4 {
				h.function("orders", more, fmt.Sprintf("%s// version %d\n", orders, version+1))
			}
			_, err := h.api.ChangeSecrets(h.Context(), "orders", api.ChangeSecretsRequest{Set: map[string]string{"STRIPE_KEY": "sk_test_of_the_pictures"}})
			h.ok(err)
			h.function("orders", more, orders+"// version 5\n", "--percent", "10")
		},
		func() {
			h.function("payouts", `, "description": "Pays partners, and writes the PDF"`, quick+"export const render = async () => { await new Promise((d) => setTimeout(d, 20 + Math.random() * 60)); console.log('payout rendered'); return 'pdf'; };\n")
		},
		func() {
			h.function("phone-menu", `, "description": "Answers the telephone"`, "export const auth = [];\nexport const menu = () => ({ say: 'welcome' });\n")
		},
		func() {
			h.function("weekly-news", `, "description": "Sends the weekly newsletter"`, quick+"export const send = () => { if (Math.random() < 0.3) throw new Error('mail server is busy, try again'); return 'sent'; };\n")
		},
		func() {
			h.function("stock", `, "description": "How many are left of what"`, "export const auth = [];\nexport const level = (context: any, request: any) => ({ sku: request.query.sku, left: 12 });\n")
		},
	)
	keys := map[string]api.CreatedKey{}
	for _, in := range []api.CreateKeyRequest{
		{DisplayName: "Initech (until 2025)", Groups: []string{"partner"}},
		{DisplayName: "Load test", Groups: []string{"shop"}, ExpireTime: time.Now().Add(2 * time.Second).Format(time.RFC3339)},
		{DisplayName: "Finance tool", Groups: []string{"finance"}, AllowedCIDRs: []string{"198.51.100.0/24"}},
		{DisplayName: "CI deploys", Scopes: []string{"control"}},
		{DisplayName: "Warehouse scanners", Groups: []string{"shop"}, RatePerSecond: 50},
		{DisplayName: "Globex", Groups: []string{"partner"}, RatePerSecond: 20, Quota: &api.Quota{Limit: 50_000, Per: "month"}, Metadata: map[string]string{"contact": "api@globex.example"}},
		{DisplayName: "Ada's laptop", Scopes: []string{"invoke", "control"}},
		{DisplayName: "Acme billing", Groups: []string{"partner", "finance", "payouts", "weekly-news"}, Quota: &api.Quota{Limit: 10_000, Per: "day"}, Metadata: map[string]string{"contract": "2026-114", "owner": "ada"}},
	} {
		keys[in.DisplayName] = h.newKey(in)
	}
	h.ok(h.api.RevokeKey(h.Context(), keys["Initech (until 2025)"].AccessKey.AccessKeyID))
	for _, name := range []string{"Shop Berlin", "Shop Lisbon", "Staging"} {
		_, err := h.api.CreateSubproject(h.Context(), api.CreateSubprojectRequest{DisplayName: name})
		h.ok(err)
	}
	for i, rate := range []int{50, 100} {
		_, err := h.api.ApplyPolicy(h.Context(), api.ApplyPolicyRequest{Document: fmt.Sprintf("# What partners may do\nversion: 1\ngroups:\n  partner:\n    rate: %d/s by key\nfunctions:\n  orders:\n    handlers:\n      refund:\n        addresses: [198.51.100.0/24]\n        rate: 10/m by key\n%s", rate, []string{"", "upstreams:\n  legacy:\n    url: http://127.0.0.1:9/shop\n    routes:\n      GET /v1/{path...}: { group: partner, timeout: 5s }\n"}[i])}, false)
		h.ok(err)
	}
	h.past()
	h.busy(keys, time.Minute)
}

// past moves what was made into the past, and writes what was counted there.
func (h *hall) past() {
	h.Helper()
	h.ok(h.stop())
	db, err := sql.Open("sqlite", h.data+"/postern.db")
	h.ok(err)
	defer db.Close()
	for _, step := range []string{
		"UPDATE deployments SET created_at = created_at - (6 - number) * $1 * 26 / 24",
		"UPDATE access_keys SET created_at = created_at - $1 * (3 + (SELECT COUNT(*) FROM access_keys o WHERE o.id > access_keys.id) * 17), updated_at = updated_at - $1",
		"UPDATE policies SET applied_at = applied_at - (3 - number) * $1 * 5",
		"UPDATE projects SET created_at = created_at - $1 * 60, updated_at = updated_at - $1 * 40",
		"UPDATE functions SET created_at = created_at - $1 * 90, updated_at = updated_at - $1",
	} {
		_, err := db.Exec(step, int64(24*time.Hour/time.Microsecond))
		h.ok(err)
	}
	today := int(time.Now().Unix() / 86400)
	for day := today - 29; day < today; day++ {
		for i, name := range []string{"orders", "payouts", "phone-menu", "weekly-news", "stock"} {
			n := int(float64(40_000/(i+1)) * (1 + .4*math.Sin(float64(day+i)/3.5)))
			_, err := db.Exec(`INSERT INTO usage_days (project_id, day, function_id, caller, code, function_name, caller_name, invocations, errors, compute_micros, memory_micros, bytes_in, bytes_out, refused)
				SELECT project_id, $1, id, 'open', '', name, '', $2, $3, $4, $5, $6, $7, 0 FROM functions WHERE name = $8`, day, n, n/900, n*7000, n*875, n*310, n*1200, name)
			h.ok(err)
		}
	}
	h.ok(db.Close())
	h.start("--basic-rate", "10000", "--basic-burst", "10000")
	h.enter()
}

// busy is a time of the shop, an hour of which takes as long as is said.
func (h *hall) busy(keys map[string]api.CreatedKey, lasts time.Duration) {
	h.Helper()
	var wg sync.WaitGroup
	defer wg.Wait()
	looking, end := context.WithTimeout(h.Context(), lasts+5*time.Second) // calls are recorded while somebody looks
	go func() {
		defer end()
		_ = h.api.FollowLogs(looking, "orders", api.FollowQuery{}, func(api.LogEvent) error { return nil })
	}()
	call := func(every time.Duration, do func(i int)) {
		wg.Go(func() {
			tick := time.NewTicker(every)
			defer tick.Stop()
			for i := range int(lasts / every) {
				<-tick.C
				do(i)
			}
		})
	}
	globex, acme, scanners, initech := keys["Globex"], keys["Acme billing"], keys["Warehouse scanners"], keys["Initech (until 2025)"]
	agent := map[string]string{"User-Agent": "globex-orders/3.1", "Content-Type": "application/json"}
	call(60*time.Millisecond, func(i int) { h.ask("GET", "/fn/orders/orders", nil, nil, "") })
	call(90*time.Millisecond, func(i int) {
		h.ask("POST", "/fn/orders/orders", &globex, agent, fmt.Sprintf(`{"customer":"C-%d","lines":%d}`, 100+i%40, 1+i%11))
	})
	call(150*time.Millisecond, func(i int) { h.ask("GET", fmt.Sprintf("/fn/stock/level?sku=S-%d", i%30), &scanners, nil, "") })
	call(400*time.Millisecond, func(i int) { h.ask("GET", "/fn/payouts/render", &acme, nil, "") })
	call(700*time.Millisecond, func(i int) { h.ask("POST", "/fn/weekly-news/send", &acme, nil, "{}") })
	call(2*time.Second, func(i int) { h.ask("POST", "/fn/orders/orders", &initech, agent, "{}") })
	call(3*time.Second, func(i int) { h.ask("POST", "/fn/orders/orders", &scanners, agent, "{}") })
	call(4*time.Second, func(i int) { h.ask("POST", "/fn/orders/orders/A-1001/refund", &acme, agent, `{"payment":"P-77"}`) })
	call(5*time.Second, func(i int) { h.ask("POST", "/fn/orders/orders", nil, agent, "{}") })
}
