package app

import "postern.dev/postern/internal/tunnel"

// buildTunnels makes what lets callers reach developers' machines.
func (s *Server) buildTunnels() error {
	key, err := s.box.Derive("tunnels")
	if err != nil {
		return err
	}
	s.tunnels = tunnel.NewHub(tunnel.Options{
		Most:       s.cfg.Tunnels,
		PerProject: s.cfg.TunnelsPerProject,
		Idle:       s.cfg.TunnelIdle,
		Lifetime:   s.cfg.TunnelLifetime,
		Timeout:    s.cfg.TunnelTimeout,
		Key:        key,
		URLs:       s.urls,
		Changed:    s.gateway.Changed,
		Log:        s.log,
	}, s.gateway)
	return nil
}
