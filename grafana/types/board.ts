// Grafana's own types, put together to the JSON that a board is: panels by their type, our queries, enums as their values.
// The package's `Dashboard` alone would refuse `rawQuery` and let every option of a panel pass.
import type * as G from '@grafana/schema/dist/esm/raw/dashboard/x/Dashboard_types.gen';
import type { GraphFieldConfig, TableFieldOptions } from '@grafana/schema';
import type * as Barchart from '@grafana/schema/dist/esm/raw/composable/barchart/panelcfg/x/BarChartPanelCfg_types.gen';
import type * as Histogram from '@grafana/schema/dist/esm/raw/composable/histogram/panelcfg/x/HistogramPanelCfg_types.gen';
import type * as Lanes from '@grafana/schema/dist/esm/raw/composable/statetimeline/panelcfg/x/StateTimelinePanelCfg_types.gen';
import type * as Stat from '@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen';
import type * as Table from '@grafana/schema/dist/esm/raw/composable/table/panelcfg/x/TablePanelCfg_types.gen';
import type * as Timeseries from '@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen';

/** What JSON can say of T: a string enum as its values. */
type Json<T> = T extends string
  ? `${T}`
  : T extends number | boolean | null | undefined
    ? T
    : T extends Array<infer U>
      ? Json<U>[]
      : T extends object
        ? { [K in keyof T]: Json<T[K]> }
        : T;

type Uid = '${datasource}' | 'tracemark';

/** An InfluxQL query, raw; `fromAnnotations` would send an annotation down the path that draws points instead of regions. */
export interface InfluxQuery {
  refId: string;
  datasource: { type: 'influxdb'; uid: Uid };
  rawQuery: true;
  query: string;
  resultFormat: 'time_series' | 'table';
  alias?: string;
  fromAnnotations?: never;
}

type Defaults<Custom> = Omit<Json<G.FieldConfig>, 'custom'> & { custom?: Json<Partial<Custom>> };

type PanelOf<Type extends string, Options, Custom> = Omit<Json<G.Panel>, 'type' | 'targets' | 'options' | 'fieldConfig'> & {
  type: Type;
  title: string;
  description: string;
  id: number;
  targets: InfluxQuery[];
  options: Json<Options>;
  fieldConfig: { defaults: Defaults<Custom>; overrides: Json<G.FieldConfigSource>['overrides'] };
};

/** This panel's options are in no package. */
type AlertList = Omit<Json<G.Panel>, 'type' | 'targets'> & { type: 'alertlist' };

type Panel =
  | PanelOf<'timeseries', Timeseries.Options, GraphFieldConfig>
  | PanelOf<'table', Table.Options, TableFieldOptions>
  | PanelOf<'stat', Stat.Options, never>
  | PanelOf<'state-timeline', Lanes.Options, Lanes.FieldConfig>
  | PanelOf<'barchart', Partial<Barchart.Options>, Barchart.FieldConfig>
  | PanelOf<'histogram', Partial<Histogram.Options>, Histogram.FieldConfig>
  | AlertList;

interface TagTarget {
  type: 'tags';
  limit: number;
  matchAny: boolean;
  tags: string[];
}

type Annotation = Omit<Json<G.AnnotationQuery>, 'target'> & { target: InfluxQuery | TagTarget };

export type Board = Omit<Json<G.Dashboard>, 'panels' | 'annotations'> & {
  uid: string;
  title: string;
  schemaVersion: 42;
  panels: Panel[];
  annotations: { list?: Annotation[] };
};
