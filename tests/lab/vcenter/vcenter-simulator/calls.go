package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"net/http"
	"strings"

	"github.com/vmware/govmomi/vim25/soap"
)

// call is what the lab knows of a request before the simulator decodes it.
type call struct {
	method string // SOAP method, or verb and path of a REST call
	object string // "VirtualMachine:vm-42"
	name   string // the name that the request gives or the object's own
	write  bool
	caller string // tells sessions apart
}

// callerOf tells the sessions of callers apart without telling their keys. It
// is empty for a call without a session.
func callerOf(r *http.Request) string {
	key := r.Header.Get("vmware-api-session-id")
	if cookie, err := r.Cookie(soap.SessionCookieName); err == nil {
		key = cookie.Value
	}
	if key == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:4])
}

// reads are the methods that change nothing in the inventory, by prefix. Every
// other method counts as a write, so that a method nobody thought of is counted
// rather than missed. Views, filters, collectors and sessions are the caller's
// own and no part of the inventory.
var reads = []string{
	"Retrieve", "Continue", "WaitFor", "CancelWaitFor", "CheckForUpdates", "Fetch", "CancelRetrieve",
	"CreateContainerView", "CreateListView", "CreateInventoryView", "ModifyListView", "ResetListView", "DestroyView",
	"CreateFilter", "DestroyPropertyFilter", "CreatePropertyCollector", "DestroyPropertyCollector",
	"CreateCollectorFor", "ReadNext", "ReadPrevious", "RewindCollector", "ResetCollector", "SetCollectorPageSize", "DestroyCollector",
	"Login", "Logout", "SessionIsActive", "SetLocale", "CloneSession", "AcquireCloneTicket", "AcquireGenericServiceTicket", "Issue", "Renew", "Validate",
	"Find", "Query", "CurrentTime", "Search", "List", "Get", "Has", "Check", "Recommend", "PlaceVm", "DoesCustomizationSpecExist",
	"CustomizationSpecItemToXml", "HttpNfcLeaseProgress", "HttpNfcLeaseGetManifest", "Estimate", "Lookup",
	"PbmRetrieve", "PbmQuery", "PbmFetch", "PbmCheck", "PbmFind",
}

func isWrite(method string) bool {
	for _, prefix := range reads {
		if strings.HasPrefix(method, prefix) {
			return false
		}
	}
	return true
}

// isSOAP tells SOAP requests from those to the REST endpoints and datastores.
func isSOAP(r *http.Request) bool {
	return r.Method == http.MethodPost && !isREST(r) && !strings.HasPrefix(r.URL.Path, "/folder/") && !strings.HasPrefix(r.URL.Path, "/nfc/")
}

func isREST(r *http.Request) bool {
	return strings.HasPrefix(r.URL.Path, "/rest/") || strings.HasPrefix(r.URL.Path, "/api/")
}

// otherCall describes a request that is not SOAP: tags by REST, files of a
// datastore, bytes of an export.
func otherCall(r *http.Request) call {
	c := call{method: r.Method + " " + r.URL.Path}
	if action := r.URL.Query().Get("~action"); action != "" {
		c.method += "?~action=" + action
		c.write = !strings.HasPrefix(action, "list") && !strings.HasPrefix(action, "get")
		return c
	}
	c.write = r.Method != http.MethodGet && r.Method != http.MethodHead && !strings.HasSuffix(r.URL.Path, "/session")
	return c
}

// names tells the parameter that says what a call is about: a custom field is
// set by its manager, on an entity.
func names(method, parameter string) bool {
	return parameter == "_this" || method == "SetField" && parameter == "entity"
}

// soapCall reads method, object and name out of an envelope, whatever
// namespaces it uses.
func soapCall(body []byte) (c call, ok bool) {
	d := xml.NewDecoder(bytes.NewReader(body))
	var path []string // element names below the Body
	inBody := false
	for {
		token, err := d.Token()
		if err != nil {
			return c, c.method != ""
		}
		switch t := token.(type) {
		case xml.StartElement:
			switch {
			case !inBody:
				inBody = t.Name.Local == "Body"
				continue
			case len(path) == 0:
				c.method = t.Name.Local
				c.write = isWrite(c.method)
			case len(path) == 1 && names(c.method, t.Name.Local):
				for _, a := range t.Attr {
					if a.Name.Local == "type" {
						c.object = a.Value + ":"
					}
				}
			}
			path = append(path, t.Name.Local)
		case xml.EndElement:
			if inBody && len(path) > 0 {
				path = path[:len(path)-1]
			}
		case xml.CharData:
			text := strings.TrimSpace(string(t))
			if !inBody || text == "" || len(path) < 2 {
				continue
			}
			switch at := strings.Join(path[1:], "/"); at {
			case "_this", "entity":
				if names(c.method, at) {
					c.object += text
				}
			case "name", "newName", "spec/name":
				if c.name == "" {
					c.name = text
				}
			}
		}
	}
}
