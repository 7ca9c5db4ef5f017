// Command argocd-health reads {"script", "objects"} from standard input and
// writes an array of what the script, a health check for Argo CD, says of each
// object: Healthy, Progressing, Degraded or Suspended.
//
// It runs the script by the same interpreter of Lua as Argo CD does, with as
// few libraries.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

	lua "github.com/yuin/gopher-lua"
)

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "argocd-health:", err)
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer) error {
	var asked struct {
		Script  string `json:"script"`
		Objects []any  `json:"objects"`
	}
	if err := json.NewDecoder(in).Decode(&asked); err != nil {
		return err
	}
	said := make([]string, 0, len(asked.Objects))
	for i, object := range asked.Objects {
		health, err := check(asked.Script, object)
		if err != nil {
			return fmt.Errorf("object %d: %w", i, err)
		}
		said = append(said, health)
	}
	return json.NewEncoder(out).Encode(said)
}

func check(script string, object any) (string, error) {
	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer state.Close()
	for name, open := range map[string]lua.LGFunction{
		lua.BaseLibName: lua.OpenBase, lua.TabLibName: lua.OpenTable, lua.StringLibName: lua.OpenString,
	} {
		call := lua.P{Fn: state.NewFunction(open), Protect: true}
		if err := state.CallByParam(call, lua.LString(name)); err != nil {
			return "", err
		}
	}
	state.SetGlobal("obj", value(state, object))
	if err := state.DoString(script); err != nil {
		return "", err
	}
	told, ok := state.Get(-1).(*lua.LTable)
	if !ok {
		return "", fmt.Errorf("the script gives %s and no table", state.Get(-1).Type())
	}
	if _, ok := told.RawGetString("message").(lua.LString); !ok {
		return "", fmt.Errorf("the script gives no message")
	}
	return told.RawGetString("status").String(), nil
}

func value(state *lua.LState, of any) lua.LValue {
	switch of := of.(type) {
	case bool:
		return lua.LBool(of)
	case float64:
		return lua.LNumber(of)
	case string:
		return lua.LString(of)
	case []any:
		table := state.CreateTable(len(of), 0)
		for _, item := range of {
			table.Append(value(state, item))
		}
		return table
	case map[string]any:
		table := state.CreateTable(0, len(of))
		for key, item := range of {
			table.RawSetString(key, value(state, item))
		}
		return table
	}
	return lua.LNil
}
