// What a classic dashboard may hold, by the types that Grafana publishes.
import type * as grafana from "@grafana/schema";
import type * as bargauge from "grafana/bargauge/panelcfg/x/types.gen";
import type * as heatmap from "grafana/heatmap/panelcfg/x/types.gen";
import type * as stat from "grafana/stat/panelcfg/x/types.gen";
import type * as statetimeline from "grafana/statetimeline/panelcfg/x/types.gen";
import type * as table from "grafana/table/panelcfg/x/types.gen";
import type * as timeseries from "grafana/timeseries/panelcfg/x/types.gen";

// A value as JSON has it: members of an enum are their texts, and what a panel does not say has a default.
type Written<T> = T extends string ? `${T}` : T extends object ? { [Key in keyof T]: Written<T[Key]> } : T;
type Part<T> = T extends object ? { [Key in keyof T]?: Part<T[Key]> } : T;

// The Prometheus data source's own part of a query is published nowhere.
type Query = Written<grafana.DataQuery> & {
  expr: string;
  format: "time_series" | "table" | "heatmap";
  legendFormat: string;
  instant?: boolean;
  range?: boolean;
  exemplar?: boolean;
};

type Options = {
  bargauge: bargauge.Options;
  heatmap: heatmap.Options;
  stat: stat.Options;
  "state-timeline": statetimeline.Options;
  table: table.Options;
  timeseries: timeseries.Options;
};
type Custom = {
  bargauge: {};
  heatmap: heatmap.FieldConfig;
  stat: {};
  "state-timeline": statetimeline.FieldConfig;
  table: table.FieldConfig;
  timeseries: timeseries.FieldConfig;
};

// An override finds a field by its name or its query. It sets one property, by its name, or by `custom.` and the name it has for this kind of panel.
type Named<T, Prefix extends string> = { [Key in keyof T & string]-?: { id: `${Prefix}${Key}`; value: T[Key] } }[keyof T & string];
type Override<Kind extends keyof Options> = {
  matcher: { id: "byName" | "byFrameRefID"; options: string };
  properties: (Named<Written<Omit<grafana.FieldConfig, "custom">>, ""> | Named<Written<Custom[Kind]>, "custom.">)[];
};

type Defaults<Kind extends keyof Options> = Written<Omit<grafana.FieldConfig, "custom">> & { custom?: Part<Written<Custom[Kind]>> };
type PanelOf<Kind extends keyof Options> = Written<Omit<grafana.Panel, "type" | "options" | "fieldConfig" | "targets">> & {
  type: Kind;
  options?: Part<Written<Options[Kind]>>;
  targets?: Query[];
  fieldConfig?: { defaults: Defaults<Kind>; overrides: Override<Kind>[] };
};
export type Panel = { [Kind in keyof Options]: PanelOf<Kind> }[keyof Options];
// Grafana writes the text of a variable's query beside it, which the published type leaves out.
type Variable = Written<grafana.VariableModel> & { definition?: string };
type Row = Written<Omit<grafana.RowPanel, "panels">> & { panels: Panel[] };
// The Prometheus data source's own part of an annotation is published nowhere either.
type Mark = Written<grafana.AnnotationQuery> & { expr: string; step: string; titleFormat: string; textFormat: string; tagKeys: string };
export type Board = Written<Omit<grafana.Dashboard, "panels" | "templating" | "annotations">> & {
  panels: (Panel | Row)[];
  annotations: { list: Mark[] };
  templating: { list: Variable[] };
};
// What Grafana puts before a board that is to be imported elsewhere; the published types know only the board.
export type Exported = Board & {
  id: null;
  __inputs: Record<"name" | "label" | "description" | "type" | "pluginId" | "pluginName", string>[];
  __elements: Record<string, never>;
  __requires: Record<"type" | "id" | "name" | "version", string>[];
};
