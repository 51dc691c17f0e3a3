import { css } from '@emotion/css';
import type { FieldConfigSource, GrafanaTheme2 } from '@grafana/data';
import { useStyles2 } from '@grafana/ui';
import type { ReactNode } from 'react';

/** What a panel without data shows. */
export function NoData({ fieldConfig }: { fieldConfig: FieldConfigSource }) {
  const styles = useStyles2(getStyles);
  return <div className={styles.noData}>{fieldConfig.defaults.noValue ?? 'No data'}</div>;
}

const NOTE_HEIGHT = 16;

/** A panel that Grafana's packages lack, with a line that says so. */
export function StandIn(props: { kind: string; width: number; height: number; children: (width: number, height: number) => ReactNode }) {
  const styles = useStyles2(getStyles);
  return (
    <div style={{ width: props.width, height: props.height }}>
      {props.children(props.width, props.height - NOTE_HEIGHT)}
      <div className={styles.note}>stand-in for Grafana’s {props.kind} panel</div>
    </div>
  );
}

function getStyles(theme: GrafanaTheme2) {
  return {
    noData: css({
      height: '100%',
      display: 'flex',
      alignItems: 'center',
      justifyContent: 'center',
      textAlign: 'center',
      color: theme.colors.text.secondary,
      fontSize: theme.typography.h5.fontSize,
    }),
    note: css({
      height: NOTE_HEIGHT,
      lineHeight: `${NOTE_HEIGHT}px`,
      textAlign: 'right',
      fontStyle: 'italic',
      fontSize: 10,
      color: theme.colors.text.disabled,
    }),
  };
}
