import { css } from '@emotion/css';
import type { GrafanaTheme2 } from '@grafana/data';
import { config } from '@grafana/runtime';
import { SceneTimePicker, VariableValueSelectors, type EmbeddedScene } from '@grafana/scenes';
import { GlobalStyles, PortalContainer, TagList, Text, ThemeContext, useStyles2 } from '@grafana/ui';
import { useEffect } from 'react';
import { createRoot } from 'react-dom/client';
import { MemoryRouter } from 'react-router-dom';

import { prepare } from './environment';
import { DashboardLinks } from './links';
import type { Dashboard } from './model';
import { PrometheusDataSource } from './prometheus/datasource';
import { reportOf, settled } from './report';
import { toScene } from './scene';

function Page({ dashboard, scene }: { dashboard: Dashboard; scene: EmbeddedScene }) {
  const styles = useStyles2(getStyles);
  const { body, controls = [] } = scene.useState();
  useEffect(() => scene.activate(), [scene]);
  return (
    <div className={styles.page}>
      <header className={styles.header}>
        <Text element="h1" variant="h4">
          {dashboard.title}
        </Text>
        <TagList tags={dashboard.tags ?? []} />
        <div className={styles.time}>
          {controls.map((control) => control instanceof SceneTimePicker && <control.Component key={control.state.key} model={control} />)}
        </div>
      </header>
      <div className={styles.header}>
        {controls.map((control) => control instanceof VariableValueSelectors && <control.Component key={control.state.key} model={control} />)}
        <div className={styles.links}>
          <DashboardLinks links={dashboard.links ?? []} />
        </div>
      </div>
      <body.Component model={body} />
    </div>
  );
}

/**
 * Grafana's packages come without its fonts: these are the system's by the same names, if it has them. They must be there before anything is
 * rendered, for it measures its texts.
 */
async function loadFonts(): Promise<void> {
  const faces = [
    new FontFace('Inter', "local('Inter'), local('Inter Regular')", { weight: '400' }),
    new FontFace('Inter', "local('Inter Medium')", { weight: '500' }),
  ];
  for (const face of faces) {
    await face.load().then(
      (loaded) => document.fonts.add(loaded),
      () => console.warn(`the system has no ${face.family} ${face.weight}`)
    );
  }
}

function getStyles(theme: GrafanaTheme2) {
  return {
    page: css({ padding: theme.spacing(2), background: theme.colors.background.canvas, minHeight: '100vh' }),
    header: css({ display: 'flex', flexWrap: 'wrap', alignItems: 'center', gap: theme.spacing(1, 2), marginBottom: theme.spacing(2) }),
    time: css({ marginLeft: 'auto' }),
    links: css({ marginLeft: 'auto', flexShrink: 0 }),
  };
}

async function show(parameters: URLSearchParams): Promise<void> {
  const answer = await fetch(`/dashboards/${encodeURIComponent(parameters.get('dashboard') ?? '')}`);
  if (!answer.ok) {
    throw new Error(`dashboard: status ${answer.status}`);
  }
  const dashboard = (await answer.json()) as Dashboard;
  document.title = dashboard.title;

  let scene: EmbeddedScene | undefined;
  await prepare(new PrometheusDataSource('/prometheus', parameters.get('scrape_interval') ?? '15s'), () => scene);
  await loadFonts();
  const names = (dashboard.templating?.list ?? []).map(({ name }) => name);
  scene = toScene(dashboard, {
    from: parameters.get('from') ?? undefined,
    to: parameters.get('to') ?? undefined,
    variables: new Map(names.flatMap((name) => (parameters.has(`var-${name}`) ? [[name, parameters.getAll(`var-${name}`)]] : []))),
    collapsed: parameters.has('collapsed'),
  });
  createRoot(document.getElementById('root') as HTMLElement).render(
    <ThemeContext.Provider value={config.theme2}>
      <GlobalStyles />
      <MemoryRouter>
        <Page dashboard={dashboard} scene={scene} />
        <PortalContainer />
      </MemoryRouter>
    </ThemeContext.Provider>
  );
  await settled(scene);
  await document.fonts.ready;
  // Two frames: what is rendered upon the last answer measures itself in the first, and is drawn in the second.
  await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
  window.preview = { ready: true, report: reportOf(dashboard, scene) };
}

show(new URLSearchParams(location.search)).catch((error: unknown) => {
  document.body.append(String(error));
  window.preview = { ready: true, error: String(error) };
});
