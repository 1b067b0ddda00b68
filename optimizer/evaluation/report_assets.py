"""Style and script of report pages. The script is the only one that a page runs: its digest is in the page's policy."""

STYLE = """
:root{color-scheme:light dark;--bg:#f6f7f9;--card:#fff;--ink:#1c2330;--dim:#5b6576;--line:#dde1e8;
--a:#2563c9;--b:#c2570c;--bad:#b3261e;--mid:#8a5a00;--good:#1a7f37;--shade:#eef1f5}
@media (prefers-color-scheme:dark){:root{--bg:#12151b;--card:#1b2029;--ink:#e6eaf1;--dim:#9aa5b6;--line:#323a47;
--a:#6ea8ff;--b:#ffa657;--bad:#ff8a80;--mid:#f0c05a;--good:#6fdc8c;--shade:#252c37}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0;background:var(--bg);color:var(--ink);font:15px/1.45 system-ui,-apple-system,"Segoe UI",sans-serif}
main{max-width:1180px;margin:0 auto;padding:14px}
h1{font-size:1.35rem;margin:.4rem 0}h2{font-size:1.05rem;margin:1.6rem 0 .6rem}
p,dl{margin:.3rem 0}.dim{color:var(--dim)}.wrap,dd,code,pre{overflow-wrap:anywhere}
dl{display:grid;grid-template-columns:max-content 1fr;gap:2px 12px}dt{color:var(--dim)}dd{margin:0}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(132px,1fr));gap:10px;margin:12px 0}
.tile,.card{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:10px 12px}
.tile b{display:block;font-size:1.45rem;font-variant-numeric:tabular-nums}.tile span{color:var(--dim);font-size:.85rem}
.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{padding:5px 9px;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap}
th:first-child,td:first-child{text-align:left;white-space:normal}th{color:var(--dim);font-weight:600}
.groups{columns:2;column-gap:12px}.groups .card{break-inside:avoid;margin:0 0 12px}.card h2{margin-top:0}
.bar{display:grid;grid-template-columns:minmax(84px,11em) 1fr 10.2em;gap:8px;align-items:center;font-size:.87rem;
margin:5px 0}
.bar svg{width:100%;height:16px;display:block}
.bar span:last-child{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.ground{fill:var(--shade)}.fa{fill:var(--a)}.fb{fill:var(--b)}.whisker{stroke:var(--ink);stroke-width:1.5;opacity:.75}
.zero{stroke:var(--dim);stroke-width:1}
.key i{display:inline-block;width:.8em;height:.8em;border-radius:2px;margin:0 .3em 0 .9em}.key i.a{background:var(--a)}
.key i.b{background:var(--b)}
.filters{position:sticky;top:0;z-index:2;background:var(--bg);padding:8px 0;display:flex;flex-wrap:wrap;gap:8px}
.filters input,.filters select{font:inherit;color:inherit;background:var(--card);border:1px solid var(--line);
border-radius:8px;padding:7px 9px;min-width:0;max-width:100%}.filters input{flex:1 1 180px}
.row{background:var(--card);border:1px solid var(--line);border-radius:10px;margin:8px 0}
.row>summary{display:grid;grid-template-columns:auto 1fr auto;gap:12px;align-items:center;padding:9px;cursor:pointer;
list-style:none}.row>summary::-webkit-details-marker{display:none}
.row[open]>summary{border-bottom:1px solid var(--line)}
.row:hover{border-color:var(--dim)}
summary:focus-visible{outline:2px solid var(--a);outline-offset:2px;border-radius:10px}
.pictures{display:flex;gap:6px}.pictures img,.none{width:84px;height:84px;object-fit:contain;background:var(--shade);
border-radius:6px;display:block}.none{display:grid;place-items:center;font-size:.7rem;color:var(--dim);
text-align:center}
.ask{display:-webkit-box;-webkit-line-clamp:3;-webkit-box-orient:vertical;overflow:hidden}
.row[open] .ask{-webkit-line-clamp:unset}.ask,.why{overflow-wrap:anywhere}
.small{font-size:.8rem;color:var(--dim)}.pill{font-variant-numeric:tabular-nums;font-weight:700;text-align:right}
.bad{color:var(--bad)}.mid{color:var(--mid)}.good{color:var(--good)}
.body{padding:4px 12px 12px}figure{margin:0}figcaption{display:none;font-size:.8rem;color:var(--dim)}
.row[open]>summary{grid-template-columns:1fr auto}.row[open] .pictures{grid-column:1/-1;flex-wrap:wrap;gap:10px}
.row[open] figcaption{display:block}.row[open] .pictures img{width:min(224px,42vw);height:auto;max-width:none;
max-height:none}
pre{background:var(--shade);padding:9px;border-radius:8px;overflow-x:auto;
white-space:pre-wrap;font-size:.8rem;margin:6px 0}
@media (max-width:860px){.groups{columns:1}}
@media (max-width:640px){main{padding:10px}.row>summary{grid-template-columns:1fr auto;gap:8px}
.pictures{grid-column:1/-1}.pictures img,.none{width:calc((100vw - 60px)/3);height:calc((100vw - 60px)/3);
max-width:150px;max-height:150px}.bar{grid-template-columns:minmax(70px,34%) 1fr 4.2em}
.bar .ends{display:none}.filters{position:static}
.filters select{flex:1 1 40%}}
@media print{.filters{display:none}.row{break-inside:avoid}}
"""

SCRIPT = """
(function(){
var rows=[].slice.call(document.querySelectorAll('.row')),list=document.getElementById('rows');
var shown=document.getElementById('shown');
function value(id){var e=document.getElementById(id);return e?e.value:'';}
function number(row,name){var v=parseFloat(row.dataset[name]);return isNaN(v)?null:v;}
function order(name,down){rows.sort(function(x,y){var a=number(x,name),b=number(y,name);
if(a===null&&b===null)return x.dataset.n-y.dataset.n;if(a===null)return 1;if(b===null)return -1;
return (down?b-a:a-b)||x.dataset.n-y.dataset.n;});}
function apply(){
var q=value('q').toLowerCase(),count=0,how=value('order');
if(how==='worst')order('score',false);else if(how==='best')order('score',true);
else if(how==='changed')order('change',true);else order('n',false);
rows.forEach(function(r){
var ok=(!value('state')||r.dataset.state===value('state'))
&&(!value('track')||r.dataset.track===value('track'))
&&(!value('category')||r.dataset.category===value('category'))
&&(!value('skill')||(' '+r.dataset.skills+' ').indexOf(' '+value('skill')+' ')>=0)
&&(!q||r.textContent.toLowerCase().indexOf(q)>=0);
r.hidden=!ok;if(ok)count++;list.appendChild(r);});
shown.textContent=count+' of '+rows.length+' rows';}
['q','state','track','category','skill','order'].forEach(function(id){var e=document.getElementById(id);
if(e)e.addEventListener(id==='q'?'input':'change',apply);});
document.documentElement.dataset.ready='yes';apply();
})();
"""
