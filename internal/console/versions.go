package console

import (
	"fmt"
	"net/url"
	"strconv"

	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/fault"
)

func (c *Console) registerVersions() {
	const at = "/p/{project}/functions/{name}/versions"
	c.page("GET "+at, c.versions)
	c.page("GET "+at+"/change", c.askShift)
	c.page("POST "+at+"/change", c.shift)
}

// versionsPage is the versions of a function.
type versionsPage struct {
	Name              string
	Active, Candidate *api.Version // of a function that was never deployed: none
	Versions          []api.Version
	Back              bool // there is an earlier one to go back to
}

func (c *Console) versions(v *visit) error {
	p := versionsPage{Name: v.r.PathValue("name")}
	list, err := v.api.Versions(v.r.Context(), p.Name)
	if err != nil {
		return err
	}
	p.Versions = list.Versions
	for i := range p.Versions {
		switch one := &p.Versions[i]; one.State {
		case "active":
			p.Active = one
		case "candidate":
			p.Candidate = one
		default:
			p.Back = p.Back || one.EndedBecause == ""
		}
	}
	return v.show("versions", "functions", "Versions of "+p.Name, p)
}

// shiftPage asks whether the calls of a function are to be moved, and says what
// happens then.
type shiftPage struct {
	Name    string
	Do      string // promote or rollback
	Version int    // 0: the one before
	Percent int
	Says    []string
	Button  string
	Ends    bool // it takes something away
}

var errShift = fault.New(fault.Invalid, "the part of the calls is a whole number from 0 to 100").WithHint("go back and write it into the field")

// shiftOf is what the address or the form asks for, in words.
func (v *visit) shiftOf() (p shiftPage, err error) {
	f := v.r.Form
	if f == nil { // of an address
		f = v.r.URL.Query()
	}
	p = shiftPage{Name: v.r.PathValue("name"), Do: f.Get("do"), Percent: 100}
	if text := f.Get("version"); text != "" {
		if p.Version, err = strconv.Atoi(text); err != nil || p.Version < 1 {
			return p, fault.New(fault.Invalid, "the version is no number")
		}
	}
	if p.Do != "rollback" {
		p.Do = "promote"
		if p.Percent, err = strconv.Atoi(f.Get("percent")); err != nil || p.Percent < 0 || p.Percent > 100 {
			p.Percent = 0
			return p, errShift
		}
	}
	list, err := v.api.Versions(v.r.Context(), p.Name)
	if err != nil {
		return p, err
	}
	p.tell(list.Versions)
	return p, nil
}

// tell says what happens.
func (p *shiftPage) tell(list []api.Version) {
	var active, candidate, meant api.Version
	for _, one := range list {
		switch one.State {
		case "active":
			active = one
		case "candidate":
			candidate = one
		}
		if one.Number == p.Version {
			meant = one
		}
	}
	is := candidate.Number > 0 && meant.Number == candidate.Number
	switch {
	case p.Do == "rollback" && p.Version == 0 && candidate.Number > 0, is && p.Percent == 0:
		p.Ends, p.Button = true, "End the candidate"
		p.Says = append(p.Says, fmt.Sprintf("Version %d, the candidate, gets no more calls. Version %d gets all of them.", candidate.Number, active.Number))
	case is && p.Percent == 100:
		p.Button = fmt.Sprintf("Make version %d active", p.Version)
		p.Says = append(p.Says, fmt.Sprintf("Version %d becomes the active one and gets all calls. Version %d, which is active now, gets none.", p.Version, active.Number))
	case is:
		p.Button = fmt.Sprintf("Give version %d %d %%", p.Version, p.Percent)
		p.Says = append(p.Says, fmt.Sprintf("Version %d gets %d %% of the calls, and version %d, the active one, %d %%. It has %d %% now.", p.Version, p.Percent, active.Number, 100-p.Percent, candidate.Percent))
	case p.Do == "rollback" && p.Version == 0:
		p.Button = "Roll back"
		p.Says = append(p.Says, fmt.Sprintf("What served before version %d is deployed again, as a new version, and gets all calls.", active.Number))
	case p.Percent == 100:
		p.Button = fmt.Sprintf("Deploy version %d again", p.Version)
		p.Says = append(p.Says, fmt.Sprintf("Version %d is deployed again, as a new version, and gets all calls. Version %d, which is active now, gets none.", p.Version, active.Number))
	default:
		p.Button = fmt.Sprintf("Deploy version %d again", p.Version)
		p.Says = append(p.Says, fmt.Sprintf("Version %d is deployed again, as a new version, and gets %d %% of the calls beside version %d.", p.Version, p.Percent, active.Number))
	}
	if !p.Ends && !is {
		p.Says = append(p.Says, "It has the artefact and the variables of then, and the values that its secrets have now. A worker of it is started first: where it does not start, nothing changes.")
		if candidate.Number > 0 {
			p.Says = append(p.Says, fmt.Sprintf("Version %d, the candidate, is ended.", candidate.Number))
		}
	}
	p.Says = append(p.Says, "No call fails: those under way are answered by the version that has begun them.")
}

func (c *Console) askShift(v *visit) error {
	p, err := v.shiftOf()
	if err != nil {
		return err
	}
	return v.show("versions-change", "functions", p.Button+"?", p)
}

func (c *Console) shift(v *visit) error {
	p, err := v.shiftOf()
	if err != nil {
		return err
	}
	notice := "promoted"
	if p.Do == "rollback" {
		notice = "rolled-back"
		_, err = v.api.RollBack(v.r.Context(), p.Name, api.RollBackRequest{Version: p.Version})
	} else {
		_, err = v.api.Promote(v.r.Context(), p.Name, api.PromoteRequest{Version: p.Version, Percent: p.Percent})
	}
	if err != nil {
		return v.mistaken(err, "versions-change", "functions", p.Button+"?", p)
	}
	if p.Ends {
		notice = "ended"
	}
	v.said(v.functionPath(p.Name, "/versions"), notice)
	return nil
}

// functionPath is a page of a function, below [Dir].
func (v *visit) functionPath(name, page string) string {
	return v.in("functions/" + url.PathEscape(name) + page)
}
