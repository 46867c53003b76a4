package console

import (
	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/fault"
)

func (c *Console) registerSubprojects() {
	c.page("GET /p/{project}/subprojects", c.subprojects)
	c.page("POST /p/{project}/subprojects", c.makeSubproject)
	c.page("GET /p/{project}/subprojects/{sub}", c.subproject)
	c.page("POST /p/{project}/subprojects/{sub}", c.renameSubproject)
	c.page("GET /p/{project}/subprojects/{sub}/delete", c.askDeleteSubproject)
	c.page("POST /p/{project}/subprojects/{sub}/delete", c.deleteSubproject)
}

// subprojectsPage is what the page of subprojects shows.
type subprojectsPage struct {
	This        *api.Subproject // the project that is looked at, if it is one itself
	Own         bool            // it is the one where whoever is signed in belongs
	List        []api.Subproject
	Next, First string
	Name        string // as it was typed
	Wrong       *failure
}

func (v *visit) loadSubprojects() (p subprojectsPage, err error) {
	p.Own = v.project == v.session.ProjectID
	this, err := v.api.Subproject(v.r.Context(), v.project)
	switch {
	case err == nil:
		p.This = &this
	case fault.KindOf(err) != fault.NotFound: // a project that is below no other
		return p, err
	}
	list, err := v.api.FindSubprojects(v.r.Context(), v.r.URL.Query().Get("page"), keysListed)
	p.List = list.Subprojects
	p.Next, p.First = v.pager("page", list.NextPageToken)
	return p, err
}

func (c *Console) subprojects(v *visit) error {
	p, err := v.loadSubprojects()
	if err != nil {
		return err
	}
	return v.show("subprojects", "subprojects", "Subprojects", p)
}

func (c *Console) makeSubproject(v *visit) error {
	name := v.r.PostForm.Get("displayName")
	made, err := v.api.CreateSubproject(v.r.Context(), api.CreateSubprojectRequest{DisplayName: name})
	if err == nil {
		v.said(v.in("subprojects/"+made.SubprojectID), "subproject-made")
		return nil
	}
	p, loadErr := v.loadSubprojects()
	if loadErr != nil {
		return loadErr
	}
	p.Name, p.Wrong = name, v.failureOf(err).inWords()
	return v.marked(err, "subprojects", "subprojects", "Subprojects", p)
}

// subprojectPage is what the page of one subproject shows, and that which asks about it.
type subprojectPage struct {
	api.Subproject
	Name  string // as it was typed
	Wrong *failure
}

func (v *visit) loadSubproject() (p subprojectPage, err error) {
	p.Subproject, err = v.api.Subproject(v.r.Context(), v.r.PathValue("sub"))
	if err == nil && p.ParentProjectID != v.project {
		err = fault.New(fault.NotFound, "this project has no such subproject")
	}
	p.Name = p.DisplayName
	return p, err
}

func (c *Console) subproject(v *visit) error {
	p, err := v.loadSubproject()
	if err != nil {
		return err
	}
	return v.show("subproject", "subprojects", p.DisplayName, p)
}

func (c *Console) renameSubproject(v *visit) error {
	p, err := v.loadSubproject()
	if err != nil {
		return err
	}
	name := v.r.PostForm.Get("displayName")
	if _, err = v.api.UpdateSubproject(v.r.Context(), p.SubprojectID, api.UpdateSubprojectRequest{DisplayName: &name}); err != nil {
		p.Name, p.Wrong = name, v.failureOf(err).inWords()
		return v.marked(err, "subproject", "subprojects", p.DisplayName, p)
	}
	v.said(v.in("subprojects/"+p.SubprojectID), "subproject-renamed")
	return nil
}

func (c *Console) askDeleteSubproject(v *visit) error {
	p, err := v.loadSubproject()
	if err != nil {
		return err
	}
	return v.show("subproject-delete", "subprojects", "Delete "+p.DisplayName, p)
}

func (c *Console) deleteSubproject(v *visit) error {
	p, err := v.loadSubproject()
	if err != nil {
		return err
	}
	if err = v.api.DeleteSubproject(v.r.Context(), p.SubprojectID); err != nil {
		return v.mistaken(err, "subproject-delete", "subprojects", "Delete "+p.DisplayName, p)
	}
	v.said(v.in("subprojects"), "subproject-deleted")
	return nil
}
