// Mistakes that the check must find: each line after a `@ts-expect-error` has one, and the compiler complains if it sees none.
import type { Board, InfluxQuery } from './board';

type Curves = Extract<Board['panels'][number], { type: 'timeseries' }>;
type Boxes = Extract<Board['panels'][number], { type: 'barchart' }>;
type Region = NonNullable<Board['annotations']['list']>[number];

const query: InfluxQuery = {
  refId: 'A', datasource: { type: 'influxdb', uid: 'tracemark' }, rawQuery: true, query: 'SELECT 1', resultFormat: 'table',
};

export const customs = [
  { drawStyle: 'line', spanNulls: 5000 },
  // @ts-expect-error an option that is spelt wrongly
  { drawstyle: 'line' },
  // @ts-expect-error a value that is none of the enum's
  { drawStyle: 'curve' },
] satisfies Curves['fieldConfig']['defaults']['custom'][];

export const options = [
  { stacking: 'normal' },
  // @ts-expect-error a value of another Grafana
  { stacking: 'stack' },
] satisfies Partial<Boxes['options']>[];

export const places = [
  { gridPos: { h: 1, w: 1, x: 0, y: 0 } },
  // @ts-expect-error a key that is spelt wrongly
  { gridpos: { h: 1, w: 1, x: 0, y: 0 } },
] satisfies Partial<Curves>[];

export const regions = [
  { name: 'A', enable: true, iconColor: '#000000', datasource: { uid: 'tracemark' }, target: query },
  // @ts-expect-error the entry would draw points instead of regions
  { name: 'A', enable: true, iconColor: '#000000', datasource: { uid: 'tracemark' }, target: { ...query, fromAnnotations: true } },
] satisfies Region[];
