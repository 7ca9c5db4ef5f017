package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"os"
	"slices"
	"time"

	"github.com/prometheus/common/promslog"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/rules"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
)

const (
	scrapeEvery = 30 * time.Second
	// Prometheus' own default, where a group says nothing else.
	evaluateEvery = time.Minute
	// How often a dashboard is looked at.
	lookEvery = 5 * time.Minute
)

// Order is what is to be replayed.
type Order struct {
	// The file of rules.
	Rules string `json:"rules"`
	// A dashboard, whose questions are asked too.
	Dashboard string `json:"dashboard"`
	// When the first scrape was taken, as seconds since 1970: metrics hold times.
	Start   int64    `json:"start"`
	Targets []Target `json:"targets"`
}

// Alert is one alert by its labels, from when to when it was in each state.
type Alert struct {
	Name        string            `json:"name"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
	Spans       []Span            `json:"spans"`
}

// Span is a time in which an alert was in a state, in seconds since the start.
type Span struct {
	State string  `json:"state"`
	From  float64 `json:"from"`
	To    float64 `json:"to"`
}

// Answer is what came of a replay.
type Answer struct {
	Alerts  []*Alert `json:"alerts"`
	Queries []*Query `json:"queries"`
	Metrics []string `json:"metrics"`
}

// player is a Prometheus with a clock that is only counted.
type player struct {
	ctx     context.Context
	start   time.Time
	db      *tsdb.DB
	engine  *promql.Engine
	groups  []*rules.Group
	targets []*target
	queries []*Query
	alerts  map[string]*Alert
}

func replay(order *Order) (*Answer, error) {
	folder, err := os.MkdirTemp("", "prometheus-replay-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(folder)
	it, err := open(order, folder)
	if err != nil {
		return nil, err
	}
	defer it.db.Close()
	end := time.Duration(0)
	for _, target := range it.targets {
		end = max(end, target.end())
	}
	for at := time.Duration(0); at < end; at += scrapeEvery {
		if err := it.tick(at); err != nil {
			return nil, err
		}
	}
	names := map[string]bool{}
	for _, target := range it.targets {
		maps.Copy(names, target.names)
	}
	answer := &Answer{Alerts: []*Alert{}, Queries: it.queries, Metrics: slices.Sorted(maps.Keys(names))}
	for _, key := range slices.Sorted(maps.Keys(it.alerts)) {
		answer.Alerts = append(answer.Alerts, it.alerts[key])
	}
	return answer, nil
}

func open(order *Order, folder string) (*player, error) {
	it := &player{ctx: context.Background(), start: time.Unix(order.Start, 0), alerts: map[string]*Alert{}}
	options := tsdb.DefaultOptions()
	// All of it is gone with us.
	options.WALSegmentSize = -1
	var err error
	if it.db, err = tsdb.Open(folder, promslog.NewNopLogger(), nil, options, nil); err != nil {
		return nil, err
	}
	it.db.DisableCompactions()
	it.engine = promql.NewEngine(promql.EngineOpts{
		MaxSamples: 50_000_000, Timeout: time.Minute, LookbackDelta: 5 * time.Minute,
		EnableAtModifier: true, EnableNegativeOffset: true, Parser: promQL,
	})
	for _, target := range order.Targets {
		it.targets = append(it.targets, newTarget(target))
	}
	if err := it.readRules(order.Rules); err != nil {
		return nil, err
	}
	if order.Dashboard == "" {
		return it, nil
	}
	text, err := os.ReadFile(order.Dashboard)
	if err != nil {
		return nil, err
	}
	var dashboard Panel
	if err := json.Unmarshal(text, &dashboard); err != nil {
		return nil, err
	}
	it.queries, err = queries(dashboard.Panels)
	return it, err
}

func (it *player) readRules(file string) error {
	groups, err := load(file)
	if err != nil {
		return err
	}
	options := &rules.ManagerOptions{
		ExternalURL: &url.URL{}, Context: it.ctx, Logger: promslog.NewNopLogger(),
		QueryFunc:  rules.EngineQueryFunc(it.engine, it.db),
		NotifyFunc: func(context.Context, string, ...*rules.Alert) {},
		Appendable: it.db, Queryable: it.db,
		DefaultRuleQueryOffset: func() time.Duration { return 0 },
	}
	// It fills in what the options leave out.
	rules.NewManager(options)
	for _, group := range groups.Groups {
		var all []rules.Rule
		for _, rule := range group.Rules {
			expr, err := promQL.ParseExpr(rule.Expr)
			if err != nil {
				return err
			}
			all = append(all, rules.NewAlertingRule(rule.Alert, expr, time.Duration(rule.For), time.Duration(rule.KeepFiringFor),
				labels.FromMap(rule.Labels), labels.FromMap(rule.Annotations), labels.EmptyLabels(), "", true, options.Logger))
		}
		interval := time.Duration(group.Interval)
		if interval == 0 {
			interval = evaluateEvery
		}
		it.groups = append(it.groups, rules.NewGroup(rules.GroupOptions{
			Name: group.Name, File: file, Interval: interval, Rules: all, Opts: options,
		}))
	}
	return nil
}

// tick is all that happens at that time: scrapes, rules, looks at the dashboard.
func (it *player) tick(at time.Duration) error {
	now := it.start.Add(at)
	appender := it.db.Appender(it.ctx)
	for _, target := range it.targets {
		if err := target.scrape(appender, at, now.UnixMilli()); err != nil {
			return err
		}
	}
	if err := appender.Commit(); err != nil {
		return err
	}
	for _, group := range it.groups {
		if at%group.Interval() != 0 {
			continue
		}
		group.Eval(it.ctx, now)
		for _, rule := range group.AlertingRules() {
			if err := rule.LastError(); err != nil {
				return fmt.Errorf("%s: %w", rule.Name(), err)
			}
			rule.ForEachActiveAlert(func(alert *rules.Alert) { it.note(rule.Name(), alert, at, group.Interval()) })
		}
	}
	if at%lookEvery == 0 {
		return it.look(now)
	}
	return nil
}

// note keeps the state of an alert. One that has ended is kept by Prometheus for a while, to be told.
func (it *player) note(name string, active *rules.Alert, at, every time.Duration) {
	if active.State == rules.StateInactive {
		return
	}
	key := active.Labels.String()
	alert := it.alerts[key]
	if alert == nil {
		alert = &Alert{Name: name, Labels: active.Labels.Map()}
		it.alerts[key] = alert
	}
	alert.Annotations = active.Annotations.Map()
	state, from, to := active.State.String(), at.Seconds(), (at + every).Seconds()
	if last := len(alert.Spans) - 1; last >= 0 && alert.Spans[last].State == state && alert.Spans[last].To == from {
		alert.Spans[last].To = to
		return
	}
	alert.Spans = append(alert.Spans, Span{State: state, From: from, To: to})
}

func (it *player) look(now time.Time) error {
	for _, query := range it.queries {
		asked, err := it.engine.NewInstantQuery(it.ctx, storage.Queryable(it.db), nil, query.Expr, now)
		if err != nil {
			return fmt.Errorf("%s: %w", query.Panel, err)
		}
		result := asked.Exec(it.ctx)
		if result.Err != nil {
			return fmt.Errorf("%s: %s: %w", query.Panel, query.Expr, result.Err)
		}
		if vector, err := result.Vector(); err == nil {
			query.Series = max(query.Series, len(vector))
		} else if _, err := result.Scalar(); err == nil {
			query.Series = max(query.Series, 1)
		}
		asked.Close()
	}
	return nil
}
