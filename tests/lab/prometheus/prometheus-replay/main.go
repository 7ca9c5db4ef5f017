// Holds alerts and dashboards against what a controller has answered at /metrics, by Prometheus' own code: its parsers, its time series
// database and its rules, with a clock that is only counted.
//
//	prometheus-replay rules ALERTS.yaml    checks a file of rules strictly; each rule as JSON
//	prometheus-replay replay <ORDER.json   which alerts are pending and firing when, as JSON
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/prometheus/common/model"
	"github.com/prometheus/common/promslog"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
)

func main() {
	answer, err := run(os.Args[1:])
	if err == nil {
		encoder := json.NewEncoder(os.Stdout)
		encoder.SetEscapeHTML(false)
		err = encoder.Encode(answer)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(arguments []string) (any, error) {
	switch {
	case len(arguments) == 2 && arguments[0] == "rules":
		return check(arguments[1])
	case len(arguments) == 1 && arguments[0] == "replay":
		var order Order
		decoder := json.NewDecoder(os.Stdin)
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&order); err != nil {
			return nil, err
		}
		return replay(&order)
	}
	return nil, errors.New("usage: prometheus-replay rules FILE, or prometheus-replay replay <ORDER")
}

// Rule is an alert as it stands in the file.
type Rule struct {
	Alert              string            `json:"alert"`
	Expr               string            `json:"expr"`
	ForSeconds         float64           `json:"forSeconds"`
	KeepSeconds        float64           `json:"keepSeconds"`
	Labels             map[string]string `json:"labels"`
	Annotations        map[string]string `json:"annotations"`
	Metrics            []string          `json:"metrics"`
	LongestLookSeconds float64           `json:"longestLookSeconds"`
}

var promQL = parser.NewParser(parser.Options{})

// load reads a file of rules as strictly as `promtool check rules` does: no unknown field, every expression and template is sound.
func load(file string) (*rulefmt.RuleGroups, error) {
	groups, wrong := rulefmt.ParseFile(file, false, model.UTF8Validation, promQL, promslog.NewNopLogger())
	return groups, errors.Join(wrong...)
}

func check(file string) ([]Rule, error) {
	groups, err := load(file)
	if err != nil {
		return nil, err
	}
	var all []Rule
	names := map[string]bool{}
	for _, group := range groups.Groups {
		for _, rule := range group.Rules {
			if names[rule.Alert] {
				return nil, fmt.Errorf("%s: the alert %s stands there twice", file, rule.Alert)
			}
			names[rule.Alert] = true
			metrics, longest, err := used(rule.Expr)
			if err != nil {
				return nil, err
			}
			all = append(all, Rule{
				Alert: rule.Alert, Expr: rule.Expr,
				ForSeconds:  seconds(rule.For),
				KeepSeconds: seconds(rule.KeepFiringFor),
				Labels:      rule.Labels, Annotations: rule.Annotations,
				Metrics: metrics, LongestLookSeconds: longest,
			})
		}
	}
	return all, nil
}
