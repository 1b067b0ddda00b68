"""Style and script that the page of a compile run has beside those of every report page."""

from __future__ import annotations

from genevolve.optimizer.evaluation.report_assets import STYLE as BASE

STYLE = (
    BASE
    + """
:root{--c:#1a7f37;--d:#8250df;--e:#0a7d8c;--f:#b4336f;--add:#d7f2de;--cut:#fbdfdc}
@media (prefers-color-scheme:dark){:root{--c:#6fdc8c;--d:#c39bff;--e:#5fd3e3;--f:#ff8fc0;--add:#17402a;--cut:#4d211f}}
h1{margin-bottom:.1rem}h3{font-size:.95rem;margin:0}
section{scroll-margin-top:52px}
nav{position:sticky;top:0;z-index:3;background:var(--bg);border-bottom:1px solid var(--line);display:flex;gap:4px 16px;
overflow-x:auto;white-space:nowrap;padding:9px 0;margin:6px 0 0;font-size:.9rem}
nav a{color:var(--a);text-decoration:none}nav a:hover,nav a:focus-visible{text-decoration:underline}
.state{font-weight:700}.notes,.warn{border-left:4px solid var(--mid);padding-left:12px}
.warn.bad{border-color:var(--bad);color:inherit}
.notes ul{margin:.3rem 0;padding-left:1.1rem}.notes li{overflow-wrap:anywhere}
.charts{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,340px),1fr));gap:12px}
.chart{min-width:0;display:flex;flex-direction:column;justify-content:space-between;margin:0 0 12px}
.charts .chart{margin:0}.charts.more{margin-top:12px}section>h3{margin-top:1.2rem}
.chart figcaption{display:block;color:inherit;font-size:inherit}
.keys{display:flex;flex-wrap:wrap;gap:2px 14px;font-size:.82rem;color:var(--dim);margin:.25rem 0 .5rem}
.keys b{color:var(--ink);font-variant-numeric:tabular-nums}
.keys i{display:inline-block;width:.75em;height:.75em;border-radius:2px;margin-right:.4em}
.frame{display:grid;grid-template-columns:max-content 1fr;gap:4px 8px;font-size:.74rem;color:var(--dim);
font-variant-numeric:tabular-nums}
.ys{display:flex;flex-direction:column-reverse;justify-content:space-between;text-align:right}
.ys span{line-height:0}.xs{grid-column:2;display:flex;justify-content:space-between}
.xs.inset{padding:0 4%}.share{grid-template-columns:minmax(84px,15em) 1fr 3.2em}
.plot{position:relative;height:150px;min-width:0}.plot svg{width:100%;height:100%;display:block;overflow:visible}
.grid{stroke:var(--line);stroke-width:1;vector-effect:non-scaling-stroke}
.line{fill:none;stroke-width:2;stroke-linejoin:round;stroke-linecap:round;vector-effect:non-scaling-stroke}
.raw{stroke-width:1;opacity:.35}
.c0{stroke:var(--a)}.c1{stroke:var(--b)}.c2{stroke:var(--c)}.c3{stroke:var(--d)}.c4{stroke:var(--e)}
.c5{stroke:var(--f)}
.k0{background:var(--a)}.k1{background:var(--b)}.k2{background:var(--c)}.k3{background:var(--d)}
.k4{background:var(--e)}.k5{background:var(--f)}
.range{stroke-width:2;opacity:.75;vector-effect:non-scaling-stroke}
.dot{stroke-width:9;stroke-linecap:round;vector-effect:non-scaling-stroke}
.taken{stroke:var(--c)}.aside{stroke:var(--b)}.untold{stroke:var(--dim)}
.keys i.taken{background:var(--c)}.keys i.aside{background:var(--b)}.keys i.untold{background:var(--dim)}
.rule{position:absolute;top:0;bottom:0;width:1px;background:var(--dim);pointer-events:none}
.tip{position:absolute;top:0;z-index:2;background:var(--card);color:var(--ink);border:1px solid var(--line);
border-radius:6px;padding:3px 7px;pointer-events:none;white-space:pre;font-size:.78rem}
[hidden]{display:none!important}
.two{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,430px),1fr));gap:12px}
.two .card{min-width:0}.card>h3{margin-bottom:.5rem}
.fold{background:var(--card);border:1px solid var(--line);border-radius:10px;margin:6px 0}
.fold>summary{cursor:pointer;padding:9px 12px;overflow-wrap:anywhere}
.fold>summary:focus-visible{outline:2px solid var(--a);outline-offset:2px;border-radius:10px}
.fold[open]>summary{border-bottom:1px solid var(--line)}
.fold>.inside{padding:8px 12px 12px}
.fold .fold{border-width:1px 0 0;border-radius:0;margin:8px 0 0;background:none}
.fold .fold>summary{padding:6px 0;color:var(--dim);font-size:.87rem}.fold .fold[open]>summary{border:0}
.fold .fold>.inside{padding:0}
.pick{float:right;font-weight:700;font-variant-numeric:tabular-nums;margin-left:10px}
.group{border-top:1px solid var(--line);padding:12px 0}.group:first-child{border-top:0;padding-top:2px}
.chips{display:flex;flex-wrap:wrap;gap:4px 6px;margin:.35rem 0;padding:0;list-style:none}
.chips span,.chips li{background:var(--shade);border-radius:20px;padding:1px 9px;font-size:.78rem;
font-variant-numeric:tabular-nums;overflow-wrap:anywhere}
.chips .top{outline:1.5px solid var(--c)}.chips .low{outline:1.5px solid var(--b)}
.pair{display:grid;grid-template-columns:1fr 1fr;gap:12px;margin:8px 0}
.side{min-width:0}.side figure img{width:100%;height:auto;border-radius:8px;background:var(--shade);
display:block}
.side .none{width:100%;max-width:256px;max-height:none;aspect-ratio:1;height:auto}
.side h4{margin:0 0 5px;font-size:.87rem;font-weight:600;color:var(--dim)}.side h4 b{color:var(--ink);font-size:1.05rem;
font-variant-numeric:tabular-nums}
.look{display:flex;gap:6px 16px}.look figure{flex:0 1 256px;min-width:0}
.side dl{font-size:.8rem;margin:0;align-content:start;grid-template-columns:minmax(0,max-content) max-content}
.side dd{font-variant-numeric:tabular-nums;overflow-wrap:normal}
.changes{margin:8px 0;font-size:.87rem}.changes h4{margin:.5rem 0 .1rem;font-size:.82rem;color:var(--dim)}
.changes ul{margin:0;padding-left:0;list-style:none}.changes li{margin:3px 0;padding-left:1.2em;text-indent:-1.2em;
overflow-wrap:anywhere}
.changes code{color:var(--dim);font-size:1em;display:inline-block;width:1.2em;text-indent:0}
ins{background:var(--add);text-decoration:none;border-radius:3px;padding:0 2px}
del{background:var(--cut);border-radius:3px;padding:0 2px}
.advice{margin:.2rem 0 .6rem;padding-left:1.1rem}.advice li{overflow-wrap:anywhere}.advice .std{color:var(--dim)}
.prose,td.prose{text-align:left;white-space:normal;min-width:15em;overflow-wrap:anywhere}
@media (max-width:640px){.pick{float:none;display:block;margin:0}
.look{flex-direction:column}.look figure{flex:none}.share{grid-template-columns:minmax(70px,46%) 1fr 3.2em}
.fold>summary{padding:9px 10px}.fold>.inside{padding:8px 10px}}
@media print{nav{display:none}.card,.fold{break-inside:avoid}}
"""
)

SCRIPT = """
(function(){
function numbers(text){return text.split(',').map(function(t){return t===''?null:parseFloat(t);});}
[].forEach.call(document.querySelectorAll('.plot[data-x]'),function(plot){
var xs=numbers(plot.dataset.x),rule=plot.querySelector('.rule'),tip=plot.querySelector('.tip');
var series=[].map.call(plot.querySelectorAll('.series'),function(s){
return {name:s.dataset.name,y:numbers(s.dataset.y)};});
function show(event){
var box=plot.getBoundingClientRect(),share=(event.clientX-box.left)/box.width;
var first=xs[0],last=xs[xs.length-1],at=first+share*(last-first),best=0;
xs.forEach(function(x,i){if(Math.abs(x-at)<Math.abs(xs[best]-at))best=i;});
var place=last>first?(xs[best]-first)/(last-first):0.5;
tip.textContent=['step '+xs[best]].concat(series.map(function(s){
return s.name+'  '+(s.y[best]===null?'-':+s.y[best].toPrecision(4));})).join('\\n');
rule.hidden=tip.hidden=false;rule.style.left=place*100+'%';
if(place>0.5){tip.style.left='auto';tip.style.right=(1-place)*box.width+8+'px';}
else{tip.style.right='auto';tip.style.left=place*box.width+8+'px';}}
function hide(){rule.hidden=tip.hidden=true;}
plot.addEventListener('pointermove',show);plot.addEventListener('pointerdown',show);
plot.addEventListener('pointerleave',hide);});
document.documentElement.dataset.ready='yes';
})();
"""
