package deploy

// Waiting is how many deploys of a function are under way or wait.
func (d *Deployer) Waiting(projectID, name string) int {
	d.attempts.mu.Lock()
	defer d.attempts.mu.Unlock()
	return len(d.attempts.running[projectID+"/"+name])
}
