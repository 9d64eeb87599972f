package main

import (
	"bytes"
	_ "embed"
	"fmt"
	"reflect"
	"strings"
	"text/template"

	"trunkline.dev/trunkline/domain/catalog"
	"trunkline.dev/trunkline/domain/event"
)

//go:embed asyncapi.yaml.tmpl
var asyncTemplate string

type channel struct {
	// Name is the middle word of the topic: "calls".
	Name, Topic, About string
	Messages           []asyncMessage
}

type asyncMessage struct {
	Type, Summary string
	// Home says that the topic is the one that the type belongs to.
	Home bool
}

// about says what each topic carries and what its key is.
func about(t event.Topic) string {
	switch t {
	case event.Leads:
		return "People to be called. Key: <org>/<lead id>."
	case event.Calls:
		return "Phone calls, from start to disposition, recording, transcript and corrections. Key: <org>/<call id>."
	case event.Agents:
		return "The working states of agents. Key: <org>/<agent id>."
	case event.Alerts:
		return "Alerts, from trigger to resolution. Key: <org>/<alert id>."
	case event.Messages:
		return "Text messages. Key: <org>/<message id>."
	case event.Contacts:
		return "Address-book entries. Key: <org>/<contact id>."
	case event.Admin:
		return "What was done to settings: who, what, when; never a secret. Key: <org>/<id of the setting>."
	case event.Deliveries:
		return "Every webhook attempt and how each delivery ended. Key: <org>/<endpoint id>."
	case event.Operations:
		return "What the hub says of its own webhooks: disabled, enabled, failing, recovered, and a copy, under the same id, of each delivery.exhausted. Key: <org>/<endpoint id>."
	}
	return ""
}

func asyncAPI(comments docs) ([]byte, error) {
	var channels []channel
	for _, t := range event.Topics() {
		c := channel{Name: strings.Split(string(t), ".")[1], Topic: string(t), About: about(t)}
		for _, e := range catalog.All() {
			if !event.On(t, e.Type) {
				continue
			}
			name := docName(reflect.TypeOf(e.Payload))
			first, _, _ := strings.Cut(comments[name], ". ")
			of, err := event.TopicOf(e.Type)
			if err != nil {
				return nil, err
			}
			c.Messages = append(c.Messages, asyncMessage{string(e.Type), strings.TrimSuffix(first, ".") + ".", of == t})
		}
		channels = append(channels, c)
	}
	tmpl, err := template.New("asyncapi").Funcs(template.FuncMap{"quote": func(s string) string { return fmt.Sprintf("%q", s) }}).Parse(asyncTemplate)
	if err != nil {
		return nil, fmt.Errorf("reading the AsyncAPI template: %w", err)
	}
	var out bytes.Buffer
	if err := tmpl.Execute(&out, channels); err != nil {
		return nil, fmt.Errorf("writing AsyncAPI: %w", err)
	}
	return out.Bytes(), nil
}
