import { css } from '@emotion/css';
import { renderTextPanelMarkdown, textUtil, type PanelProps } from '@grafana/data';
import { useStyles2 } from '@grafana/ui';

import { plugin } from './plugin';

interface Options {
  mode: 'markdown' | 'html' | 'code';
  content: string;
}

function TextPanel({ options, replaceVariables, height }: PanelProps<Options>) {
  const styles = useStyles2(() => ({ text: css({ overflow: 'auto', height }) }));
  const text = replaceVariables(options.content, {}, options.mode === 'code' ? 'raw' : 'html');
  if (options.mode === 'code') {
    return <pre className={styles.text}>{text}</pre>;
  }
  const html = options.mode === 'html' ? textUtil.sanitizeTextPanelContent(text) : renderTextPanelMarkdown(text);
  return <div className={`markdown-html ${styles.text}`} dangerouslySetInnerHTML={{ __html: html }} />;
}

export const text = plugin<Options>({ component: TextPanel, options: { mode: 'markdown', content: '' } });
